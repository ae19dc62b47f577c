"""What a service is rendered as. Each stack is one package here; `contract.py` says what it must offer."""
