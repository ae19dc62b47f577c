"""Start the server: `python -m app`."""

import os

import uvicorn


def main() -> None:
    """Serve until a signal comes, then finish what is in flight."""
    uvicorn.run(
        "app.main:create_app",
        factory=True,
        host=os.environ.get("HOST", "127.0.0.1"),
        port=int(os.environ.get("PORT", "8000")),
        access_log=False,  # the middleware logs each request with its ids
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=int(os.environ.get("SHUTDOWN_SECONDS", "25")),
        timeout_keep_alive=65,  # longer than the usual load balancer's 60 s, so that it closes first
        forwarded_allow_ips=os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1"),
    )


if __name__ == "__main__":
    main()
