"""What a Jupyter server finds of our kernels: their kernelspecs, each with a logo."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from jupyter_client.kernelspec import KernelSpecManager

from rlm_kernel.install import KERNEL_NAMES, write_kernel_spec


@pytest.mark.parametrize("name", KERNEL_NAMES)
def test_a_kernelspec_is_whole(name: str, tmp_path: Path) -> None:
    write_kernel_spec(name, tmp_path)
    spec = KernelSpecManager(kernel_dirs=[str(tmp_path)]).get_kernel_spec(name)
    assert spec.language == "python"
    assert spec.interrupt_mode == "message"
    assert spec.display_name.startswith("RLM (")
    assert spec.metadata["debugger"] is True
    assert spec.metadata["kernel_provisioner"]["config"]["rlm"] == {}


@pytest.mark.parametrize("name", KERNEL_NAMES)
def test_a_kernelspec_has_logos_as_front_ends_want_them(name: str, tmp_path: Path) -> None:
    folder = write_kernel_spec(name, tmp_path)
    for size in (32, 64):
        data = (folder / f"logo-{size}x{size}.png").read_bytes()
        assert data[:8] == b"\x89PNG\r\n\x1a\n"
        assert struct.unpack(">II", data[16:24]) == (size, size)
    drawing = ET.parse(folder / "logo-svg.svg").getroot()
    assert drawing.tag.endswith("svg")
    display_name = json.loads((folder / "kernel.json").read_text())["display_name"]
    assert drawing.get("aria-label") == display_name
