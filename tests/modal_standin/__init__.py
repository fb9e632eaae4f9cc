"""A stand-in for Modal's control plane and workers, for the real SDK: gRPC on loopback."""

from modal_standin.server import ModalStandIn

__all__ = ["ModalStandIn"]
