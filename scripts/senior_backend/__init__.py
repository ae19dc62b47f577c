"""The code behind the senior-backend skill's four command-line tools."""

__version__ = "0.1.0"
