"""The API scaffolder: spec <- sources; spec -> plan -> render -> merge -> verify -> report."""
