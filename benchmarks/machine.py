"""What the figures are measured on, and with which versions."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path

__all__ = ["machine", "processor", "python", "version"]


def machine() -> str:
    """Name the machine."""
    return f"{os.cpu_count()} CPUs of {processor()}, {platform.system()}"


def processor() -> str:
    """Name the processor."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text("utf-8").splitlines() if information.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def python() -> str:
    """Name the Python."""
    return f"{platform.python_implementation()} {platform.python_version()}"


def version(package: str, interpreter: str = sys.executable) -> str:
    """Return the version of an installed package, "" where it isn't one."""
    if interpreter == sys.executable:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            return ""
    program = f"from importlib.metadata import version; print(version({package!r}))"
    ran = subprocess.run([interpreter, "-c", program], capture_output=True, text=True, check=False)
    return ran.stdout.strip()
