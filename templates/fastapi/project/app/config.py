"""Settings, read from the environment and from .env, checked once at start."""

from functools import cached_property
from hashlib import blake2b
from typing import Literal, Self

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app import service

MIN_SECRET_BYTES = 32
MIN_DISTINCT_BYTES = 8


class DatabaseSettings(BaseSettings):
    """What migrations need."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", hide_input_in_errors=True)

    database_url: str = Field(default="sqlite:///./app.db", pattern="^(sqlite:///|postgres)")


class Settings(DatabaseSettings):
    """Everything that differs between deployments; secrets have no default."""

    database_pool_size: int = Field(default=10, ge=1, le=200)
    database_timeout_seconds: float = Field(default=10, gt=0, le=300)

    jwt_secret: SecretStr | None = None
    jwt_jwks_url: str | None = None
    jwt_algorithm: Literal["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"] = "RS256"
    jwt_issuer: str = Field(default=service.NAME, min_length=1)
    jwt_audience: str = Field(default=service.NAME, min_length=1)
    access_token_seconds: int = Field(default=600, ge=30, le=86_400)
    refresh_token_days: int = Field(default=30, ge=1, le=365)
    refresh_grace_seconds: float = Field(default=10, ge=0, le=60)
    account_cache_seconds: float = Field(default=10, ge=0, le=300)

    redis_url: str | None = None
    rate_limit_per_minute: int = Field(default=6_000, ge=1)
    login_limit_per_minute: int = Field(default=10, ge=1)
    max_body_bytes: int = Field(default=1_048_576, ge=1_024)
    idempotency_hours: int = Field(default=24, ge=1, le=720)

    cors_origins: list[str] = []
    docs_enabled: bool = True
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    otel_exporter_otlp_endpoint: str | None = None

    @cached_property
    def cursor_secret(self) -> bytes:
        """What signs the cursors of lists; without JWT_SECRET it is known, and only binds them to their list."""
        secret = self.jwt_secret.get_secret_value() if self.jwt_secret else ""
        return blake2b(secret.encode(), digest_size=32, person=b"cursors").digest()

    @model_validator(mode="after")
    def _check(self) -> Self:
        secret = self.jwt_secret.get_secret_value().encode() if self.jwt_secret else None
        if secret is None and (service.ISSUES_TOKENS or not self.jwt_jwks_url):
            raise ValueError('JWT_SECRET is required: python -c "import secrets; print(secrets.token_urlsafe(48))"')
        if secret is not None and (len(secret) < MIN_SECRET_BYTES or len(set(secret)) < MIN_DISTINCT_BYTES):
            raise ValueError(f"JWT_SECRET must be at least {MIN_SECRET_BYTES} random bytes")
        if secret is not None and self.jwt_jwks_url:
            raise ValueError("JWT_SECRET and JWT_JWKS_URL exclude each other")
        if "*" in self.cors_origins:
            raise ValueError("CORS_ORIGINS must name origins, not *")
        return self


def load() -> Settings:
    """Return the settings of this process.

    Raises:
        SystemExit: one is missing or wrong; the message names it and never shows its value.
    """
    try:
        return Settings()
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, item['loc'])).upper() or 'settings'}: {item['msg']}" for item in error.errors()
        ]
        raise SystemExit("The service cannot start:\n  " + "\n  ".join(problems)) from None
