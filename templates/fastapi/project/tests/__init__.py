"""Tests of the service: real requests to a real server on a database of their own."""
