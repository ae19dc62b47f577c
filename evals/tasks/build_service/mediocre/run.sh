exec python3 server.py "$1"
