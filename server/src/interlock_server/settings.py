"""Settings of a server, from options or from environment variables named INTERLOCK_..."""

from __future__ import annotations

from pathlib import Path

import platformdirs
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from interlock_server import limits


class Settings(BaseSettings):
    """How a server runs.

    Args:
        address: `host:port` to listen on.
        database_url: a PostgreSQL, 14 or newer; unset means the embedded one.
        data_dir: where the embedded PostgreSQL keeps its data.
        pool_size: database connections at most.
        lease_seconds: how long another replica waits before it takes over a run
            of a process that died.
        grace_seconds: how long a stop waits for calls and effects under way.
        watchers_max: open streams at most.
        retention_days: how long a run is kept after its end; unset means for ever.
        open_runs_max: runs that have not ended at most, over all servers.
        reuse_port: share the address with other servers of this machine that do so too.
    """

    model_config = SettingsConfigDict(
        env_prefix="INTERLOCK_", env_ignore_empty=True, extra="forbid"
    )

    address: str = "127.0.0.1:7117"
    database_url: SecretStr | None = None
    data_dir: Path = Field(default_factory=lambda: platformdirs.user_data_path("interlock"))
    pool_size: int = Field(default=10, ge=2, le=1_000)
    lease_seconds: float = Field(default=10.0, ge=1.0, le=3_600.0)
    commit_delay_seconds: float = Field(default=0.02, ge=0.0, le=1.0)
    grace_seconds: float = Field(default=10.0, ge=0.0, le=3_600.0)
    watchers_max: int = Field(default=limits.watchers_max, ge=1)
    retention_days: float | None = Field(default=None, gt=0.0, le=36_600.0)
    open_runs_max: int = Field(default=limits.open_runs_max, ge=1)
    reuse_port: bool = False
