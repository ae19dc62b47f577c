"""Start the server: `python -m app`."""

import os

from app.main import create_app
from app.patterns.graceful_shutdown import serve


def main() -> None:
    """Serve until a signal comes, then stop being ready, and finish what is in flight."""
    app = create_app()
    serve(
        app,
        app.state.readiness,
        lead=float(os.environ.get("SHUTDOWN_LEAD_SECONDS", "0")),
        drain=float(os.environ.get("SHUTDOWN_SECONDS", "25")),
        host=os.environ.get("HOST", "127.0.0.1"),
        port=int(os.environ.get("PORT", "8000")),
        access_log=False,  # the middleware logs each request with its ids
        log_config=None,
        server_header=False,
        timeout_keep_alive=65,  # longer than the usual load balancer's 60 s, so that it closes first
        forwarded_allow_ips=os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1"),
    )


if __name__ == "__main__":
    main()
