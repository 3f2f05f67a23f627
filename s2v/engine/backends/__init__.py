"""The runtimes that run the network: one is opened by name, see `registry`."""

from s2v.engine.backends.registry import BACKEND_NAMES, DEFAULT_THREADS, bundled_model, open_backend

__all__ = ["BACKEND_NAMES", "DEFAULT_THREADS", "bundled_model", "open_backend"]
