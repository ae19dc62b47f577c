#!/usr/bin/env python3
"""Run the evals: isolated workspaces with and without the skill, any agent, gradings, and a comparison.

  python3 evals/run.py prepare OUT [--task NAME ...] [--repeat 3]
      makes OUT/<task>/<with_skill|without_skill>/<n>/workspace with the starter files (and the skill in
      .claude/skills/senior-backend), and prompt.txt beside it
  python3 evals/run.py agent OUT -- COMMAND {prompt}
      runs COMMAND in each workspace that has no result yet; {prompt} is replaced by the prompt's text
  python3 evals/run.py grade OUT
      runs the graders and writes grading.json beside each workspace, then benchmark.json and benchmark.html in OUT

A run may leave timing.json beside its workspace ({"duration_seconds", "total_tokens"}); `agent` writes the duration.
"""

from __future__ import annotations

import argparse
import html
import importlib.util
import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
for entry in (ROOT, ROOT / "scripts"):
    sys.path.insert(0, str(entry))

VARIANTS = ("with_skill", "without_skill")
AGENT_SECONDS = 3600
FIRST_PORT = 18000  # a prompt's {port} and the nine behind it belong to one run, so that runs may overlap
PORTS_PER_RUN = 10


def tasks() -> list[dict[str, Any]]:
    """Return the evals of evals.json."""
    return list(json.loads((ROOT / "evals" / "evals.json").read_text())["evals"])


def grader(name: str) -> Any:
    """Return the module that grades the task `name`."""
    path = ROOT / "evals" / "tasks" / name / "grade.py"
    spec = importlib.util.spec_from_file_location(f"grade_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded  # dataclasses look their module up
    spec.loader.exec_module(loaded)
    return loaded


def prepare(out: Path, names: list[str], repeat: int) -> int:
    """Make the workspaces; existing ones stay."""
    from release.build import build

    skill, _ = build(ROOT, out)
    port = FIRST_PORT
    for task in tasks():
        for variant in VARIANTS:
            for number in range(1, repeat + 1):
                port += PORTS_PER_RUN
                run = out / task["name"] / variant / str(number)
                if run.exists() or (names and task["name"] not in names):
                    continue
                shutil.copytree(ROOT / "evals" / "tasks" / task["name"] / "starter", run / "workspace")
                if variant == "with_skill":
                    shutil.copytree(skill, run / "workspace" / ".claude" / "skills" / "senior-backend")
                (run / "prompt.txt").write_text(task["prompt"].replace("{port}", str(port)) + "\n")
    return 0


def run_agent(out: Path, command: list[str]) -> int:
    """Run the agent once in each workspace that has no timing yet."""
    for prompt in sorted(out.glob("*/*/*/prompt.txt")):
        run = prompt.parent
        if (run / "timing.json").exists():
            continue
        words = [word.replace("{prompt}", prompt.read_text()) for word in command]
        started = time.monotonic()
        with (run / "agent.log").open("wb") as log:
            done = subprocess.run(
                words, cwd=run / "workspace", stdout=log, stderr=subprocess.STDOUT, check=False, timeout=AGENT_SECONDS
            )
        seconds = round(time.monotonic() - started, 1)
        (run / "timing.json").write_text(json.dumps({"duration_seconds": seconds, "exit_code": done.returncode}) + "\n")
    return 0


def grade(out: Path) -> int:
    """Grade every workspace and write the comparison."""
    rows: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for task in tasks():
        for variant in VARIANTS:
            for run in sorted((out / task["name"] / variant).glob("*")):
                checks = grader(task["name"]).grade(run / "workspace")
                passed = sum(check.passed for check in checks)
                grading: dict[str, Any] = {
                    "assertion_results": [check.to_json() for check in checks],
                    "summary": {"passed": passed, "total": len(checks), "pass_rate": round(passed / len(checks), 3)},
                }
                (run / "grading.json").write_text(json.dumps(grading, indent=2) + "\n")
                timing = json.loads((run / "timing.json").read_text()) if (run / "timing.json").exists() else {}
                rows.setdefault(task["name"], {}).setdefault(variant, []).append({**grading["summary"], **timing})
    if not rows:
        sys.stderr.write(f"{out} has no workspaces; run `prepare` first\n")
        return 2
    benchmark = compare(rows)
    (out / "benchmark.json").write_text(json.dumps(benchmark, indent=2) + "\n")
    (out / "benchmark.html").write_text(page(benchmark))
    sys.stdout.write(json.dumps(benchmark["run_summary"], indent=2) + "\n")
    return 0


def compare(rows: dict[str, dict[str, list[dict[str, Any]]]]) -> dict[str, Any]:
    """Return mean and spread of each variant, by task and over all."""

    def spread(values: list[float]) -> dict[str, float] | None:
        if not values:
            return None
        deviation = statistics.stdev(values) if len(values) > 1 else 0.0
        return {"mean": round(statistics.mean(values), 3), "stddev": round(deviation, 3), "runs": len(values)}

    def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            name: spread([float(run[key]) for run in runs if key in run])
            for name, key in (
                ("pass_rate", "pass_rate"),
                ("time_seconds", "duration_seconds"),
                ("tokens", "total_tokens"),
            )
        }

    every = {variant: [run for task in rows.values() for run in task.get(variant, [])] for variant in VARIANTS}
    return {
        "skill_name": "senior-backend",
        "run_summary": {variant: summary(runs) for variant, runs in every.items()},
        "tasks": {name: {variant: summary(runs) for variant, runs in task.items()} for name, task in rows.items()},
    }


def page(benchmark: dict[str, Any]) -> str:
    """Return the comparison as one self-contained page."""

    def cell(value: dict[str, float] | None) -> str:
        return "-" if value is None else f"{value['mean']:g} ± {value['stddev']:g} ({value['runs']:g})"

    body = []
    for name, task in [*benchmark["tasks"].items(), ("all", benchmark["run_summary"])]:
        cells = "".join(
            f"<td>{cell((task.get(variant) or {}).get(measure))}</td>"
            for measure in ("pass_rate", "time_seconds", "tokens")
            for variant in VARIANTS
        )
        body.append(f"<tr><th>{html.escape(name)}</th>{cells}</tr>")
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>With and without the skill</title><style>"
        ":root{color-scheme:light dark}body{font:16px/1.5 system-ui;margin:2rem auto;max-width:70rem;padding:0 1rem}"
        "table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid #8886;padding:.4rem .6rem;text-align:right}"
        "th:first-child{text-align:left}</style><h1>With and without the skill</h1><table><thead><tr><th>task"
        "<th colspan=2>pass rate<th colspan=2>seconds<th colspan=2>tokens<tr><th>mean ± deviation (runs)"
        + "<th>with<th>without" * 3
        + "</thead><tbody>"
        + "".join(body)
        + "</tbody></table></html>\n"
    )


def main(argv: list[str] | None = None) -> int:
    """Run one of the commands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("prepare", "agent", "grade"):
        sub = commands.add_parser(name)
        sub.add_argument("out", type=Path)
        if name == "prepare":
            sub.add_argument("--task", action="append", default=[], choices=[task["name"] for task in tasks()])
            sub.add_argument("--repeat", type=int, default=3)
        if name == "agent":
            sub.add_argument("agent", nargs="+", metavar="COMMAND")
    options = parser.parse_args(argv)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.command == "prepare":
        return prepare(options.out, options.task, options.repeat)
    if options.command == "agent":
        return run_agent(options.out, options.agent)
    return grade(options.out)


if __name__ == "__main__":
    sys.exit(main())
