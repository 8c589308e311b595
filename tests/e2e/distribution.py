"""Another distribution, installed beside mita-otel: a module and its metadata in a folder of PYTHONPATH."""

from __future__ import annotations

from pathlib import Path


def install_distribution(folder: Path, name: str, code: str, entry_points: str) -> dict[str, str]:
    """Put a module and its metadata into the folder, as an installer would.

    Returns:
        The environment variables that make it importable.
    """
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(code)
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(entry_points)
    return {"PYTHONPATH": str(folder)}


def sabotage(folder: Path, code: str) -> dict[str, str]:
    """Run the code in every process that `opentelemetry-instrument` starts, once it has configured everything.

    Returns:
        The environment variables that do it.
    """
    indented = "".join(f"    {line}\n" for line in code.strip().splitlines())
    return install_distribution(
        folder,
        "saboteur",
        f"def apply():\n{indented}",
        "[opentelemetry_post_instrument]\nsaboteur = saboteur:apply\n",
    )
