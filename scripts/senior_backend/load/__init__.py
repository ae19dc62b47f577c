"""Load tests whose numbers hold: an open-loop HTTP engine and the judgement of what it measured."""
