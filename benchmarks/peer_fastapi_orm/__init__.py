"""The service that generated ones are measured against."""
