"""A serialized engine as TensorRT has loaded it: its tensors, and a context for each batch size.

It knows nothing of memory but addresses; `tensorrt.runner` owns that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from s2v.engine.backends.graphs import Shape
from s2v.engine.backends.tensorrt.module import TensorRT, logged_error, make_logger
from s2v.errors import BackendError


class EngineRefused(BackendError):
    """An engine that this GPU or this TensorRT cannot load: another one has to be built."""


class LoadedEngine:
    """Made with the GPU's context current on this thread. Let contexts go before it."""

    def __init__(self, tensorrt: TensorRT, plan: bytes, device_name: str) -> None:
        """Raises: EngineRefused. BackendError, an engine that is not one of ours."""
        self._trt = tensorrt.trt
        self._logger = make_logger(tensorrt.trt)
        self._runtime: Any = tensorrt.trt.Runtime(self._logger)
        self._engine: Any = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise EngineRefused(
                f"{tensorrt.name} {tensorrt.version} cannot load the engine on {device_name} "
                f"({logged_error(self._logger, 'no reason')}): it was built for another GPU or version; compile it here"
            )
        self.inputs: dict[str, Shape] = {}  # without the batch dimension
        self.outputs: dict[str, Shape] = {}
        self.max_batch = 0
        self._read_tensors()
        # what a context works with; the second name is that of TensorRT before 10.1
        bytes_v2 = getattr(self._engine, "device_memory_size_v2", None)
        self.working_bytes = int(self._engine.device_memory_size if bytes_v2 is None else bytes_v2)

    def context(self, batch: int, addresses: Mapping[str, int], working: int) -> Any:
        """Ready to run one batch size, any number of times.

        Args:
            addresses: GPU memory of every tensor.
            working: address of `working_bytes`; contexts that never run at once may share it.
        Raises: BackendError.
        """
        context = self._new_context()
        if context is None:
            reason = logged_error(self._logger, "no reason")
            raise BackendError(f"TensorRT cannot prepare for batches of {batch} ({reason}): end other programs")
        if working:
            if hasattr(context, "set_device_memory"):
                context.set_device_memory(working, self.working_bytes)
            else:
                context.device_memory = working
        for name, shape in self.inputs.items():
            if not context.set_input_shape(name, (batch, *shape)):
                raise BackendError(f"TensorRT refuses {name} of shape {(batch, *shape)}: compile the engine again")
        for name, address in addresses.items():
            if not context.set_tensor_address(name, address):
                raise BackendError(f"TensorRT refuses the memory of {name}: compile the engine again")
        return context

    def close(self) -> None:
        """Let the engine go before what it logs to; safe to call twice."""
        self._engine = None
        self._runtime = None

    def _new_context(self) -> Any:
        strategy = self._trt.ExecutionContextAllocationStrategy.USER_MANAGED
        specialization = getattr(self._trt, "DynamicShapesKernelSpecializationStrategy", None)
        if specialization is None:
            return self._engine.create_execution_context(strategy)
        # tensorrt_rtx would run general kernels until it has made better ones, and those would be captured
        config = self._engine.create_runtime_config()
        config.set_execution_context_allocation_strategy(strategy)
        config.dynamic_shapes_kernel_specialization_strategy = specialization.EAGER
        return self._engine.create_execution_context(config)

    def _read_tensors(self) -> None:
        engine = self._engine
        for i in range(engine.num_io_tensors):
            name = engine.get_tensor_name(i)
            shape = tuple(engine.get_tensor_shape(name))
            if engine.get_tensor_dtype(name) != self._trt.DataType.FLOAT or -1 in shape[1:]:
                kind = engine.get_tensor_dtype(name)
                raise BackendError(f"the engine's {name} is {kind} {shape}, not float32 of one size: compile it again")
            if engine.get_tensor_mode(name) == self._trt.TensorIOMode.INPUT:
                self.inputs[name] = shape[1:]
                _, _, (largest, *_) = engine.get_tensor_profile_shape(name, 0)  # least, best and most
                self.max_batch = min(self.max_batch or largest, largest)
            else:
                self.outputs[name] = shape[1:]
        if not self.max_batch or not self.outputs:
            raise BackendError("the engine has no inputs or no outputs: compile it again")
