"""`rlm kernel`: builds images for kernels in containers ahead of time, and removes leftovers."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from rlm.cli.exit_codes import Exit
from rlm.core.environments import check_environment

if TYPE_CHECKING:
    import argparse


def kernel(options: argparse.Namespace) -> int:
    """Build an image, or remove leftovers."""
    return _build(options) if options.action == "build" else _prune(options)


def _build(options: argparse.Namespace) -> int:
    """Build the image that runs use, and print its name."""
    from rlm_kernel.docker.engine import engine, engine_address
    from rlm_kernel.docker.images import Images
    from rlm_kernel.docker.options import docker_options

    asked: dict[str, Any] = {
        "image": options.image,
        "packages": options.package or [],
        "build_network": options.build_network,
        "pip_index_url": options.pip_index_url,
    }
    address = engine_address()
    chosen = docker_options(check_environment("docker", asked))
    image = Images(engine(address), address).resolve(chosen)
    sys.stdout.write(f"{image.name}\n")
    return Exit.OK


def _prune(options: argparse.Namespace) -> int:
    """Remove containers that a crashed host left, and with `--images` the images that rlm built."""
    check_environment("docker", None)
    from rlm_kernel.docker import prune
    from rlm_kernel.docker.engine import engine_address

    address = engine_address()
    containers = prune.left_containers(address)
    images = prune.made_images(address) if options.images else []
    if not options.dry_run:
        prune.remove_containers(address, containers)
        prune.remove_images(address, images)
    verb = "would remove" if options.dry_run else "removed"
    for one in (*containers, *images):
        sys.stdout.write(f"{verb} {one.what}\n")
    if not (containers or images):
        sys.stdout.write("Nothing is left to remove.\n")
    return Exit.OK
