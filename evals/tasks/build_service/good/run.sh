cd service && export PORT="$1" && "$SERVICE_PYTHON" -m alembic upgrade head && exec "$SERVICE_PYTHON" -m app
