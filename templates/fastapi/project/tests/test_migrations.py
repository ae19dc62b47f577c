import subprocess
import sys

from tests.conftest import ROOT


def test_up_down_up_and_no_difference(variables: dict[str, str], empty_database: str) -> None:
    environment = {**variables, "DATABASE_URL": empty_database}
    for command in (["upgrade", "head"], ["check"], ["downgrade", "base"], ["upgrade", "head"], ["check"]):
        done = subprocess.run(  # noqa: S603 - our own interpreter
            [sys.executable, "-m", "alembic", *command],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stderr[-2000:]}"
