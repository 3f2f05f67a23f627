"""A TensorRT that is none, for machines without one, on the GPU of `fake_cuda`.

`FakeTensorRT` has the part of the Python interface that we use; its engines are ONNX files that ONNX Runtime runs on
the fake's memory.
"""

from __future__ import annotations

import enum
import json
import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
from fake_cuda import FakeDevice

from s2v.engine.backends.tensorrt.module import TensorRT

MAGIC = b"FAKE"


class _Severity(enum.Enum):
    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2


class _ILogger:
    Severity = _Severity

    def __init__(self) -> None:
        self.ready = True

    def log(self, severity: _Severity, message: str) -> None:
        raise NotImplementedError("a logger of ours says what to do with it")


class _Flag(enum.IntEnum):
    STRONGLY_TYPED = 1


class _BuilderFlag(enum.Enum):
    TF32 = 0


class _Capability(enum.Enum):
    SM80 = 80
    SM86 = 86
    SM89 = 89
    SM120 = 120
    CURRENT = -1


class _Mode(enum.Enum):
    INPUT = 1
    OUTPUT = 2


class _DataType(enum.Enum):
    FLOAT = 1
    HALF = 10


class _Allocation(enum.Enum):
    STATIC = 0
    USER_MANAGED = 2


class _Specialization(enum.Enum):
    LAZY = 0
    EAGER = 1


class _Monitor:
    def __init__(self) -> None:
        self.ready = True


class FakeTensorRT(SimpleNamespace):
    """Stands for the module. `rtx` is the other one of the two."""

    def __init__(self, device: FakeDevice | None, version: str = "10.9.0", rtx: bool = False) -> None:
        super().__init__(
            __version__=version,
            ILogger=_ILogger,
            IProgressMonitor=_Monitor,
            NetworkDefinitionCreationFlag=_Flag,
            BuilderFlag=_BuilderFlag,
            TensorIOMode=_Mode,
            DataType=_DataType,
            ExecutionContextAllocationStrategy=_Allocation,
            Builder=lambda logger: _Builder(self, logger),
            OnnxParser=_Parser,
            Runtime=lambda logger: _Runtime(self, logger),
        )
        if rtx:
            self.ComputeCapability = _Capability
            self.DynamicShapesKernelSpecializationStrategy = _Specialization
        self.device, self.rtx = device, rtx
        self.builds = 0
        self.timings_seen: list[bytes] = []
        self.spoil: Callable[[dict[str, np.ndarray]], None] = lambda outputs: None  # a defect in its arithmetic
        self.on_step: Callable[[], None] = lambda: None
        self.steps = 3
        self.contexts: weakref.WeakSet[Any] = weakref.WeakSet()

    def as_module(self) -> TensorRT:
        return TensorRT(self, "tensorrt_rtx" if self.rtx else "tensorrt", self.__version__)


class _Builder:
    def __init__(self, trt: FakeTensorRT, logger: _ILogger) -> None:
        assert logger.ready, "the base class was not initialised"
        self._trt = trt
        if trt.device is None and not trt.rtx:
            logger.log(_Severity.ERROR, "CUDA initialization failure with error: 35")
            raise TypeError("factory function returned nullptr")

    def create_network(self, flags: int) -> Any:
        assert flags == 1 << int(_Flag.STRONGLY_TYPED)
        return SimpleNamespace(graph=None, num_inputs=0)

    def create_builder_config(self) -> Any:
        return _Config(self._trt)

    def create_optimization_profile(self) -> Any:
        shapes: dict[str, Any] = {}
        return SimpleNamespace(shapes=shapes, set_shape=lambda name, *three: shapes.update({name: three}))

    def build_serialized_network(self, network: Any, config: _Config) -> bytes | None:
        trt = self._trt
        monitor = config.progress_monitor
        monitor.phase_start("Building", None, trt.steps)
        for step in range(trt.steps):
            trt.on_step()
            if not monitor.step_complete("Building", step):
                return None
        monitor.phase_finish("Building")
        trt.builds += 1
        assert _BuilderFlag.TF32 not in config.flags
        (profile,) = config.profiles
        assert profile.shapes.keys() == {value.name for value in network.graph.graph.input}
        if trt.rtx:
            gpus = [f"SM{c}" for c in config.capabilities]
        else:
            assert trt.device is not None
            gpus = [trt.device.name]
        largest = {name: list(shapes[2]) for name, shapes in profile.shapes.items()}
        head = {"gpus": gpus, "version": trt.__version__, "largest": largest}
        return MAGIC + json.dumps(head).encode() + b"\n" + bytes(network.graph.SerializeToString())


class _Config:
    def __init__(self, trt: FakeTensorRT) -> None:
        self._trt = trt
        self.flags = {_BuilderFlag.TF32}
        self.profiles: list[Any] = []
        self.capabilities: list[int] = []
        self.progress_monitor: Any = None

    def clear_flag(self, flag: _BuilderFlag) -> None:
        self.flags.discard(flag)

    def add_optimization_profile(self, profile: Any) -> None:
        self.profiles.append(profile)

    @property
    def num_compute_capabilities(self) -> int:
        return len(self.capabilities)

    @num_compute_capabilities.setter
    def num_compute_capabilities(self, count: int) -> None:
        self.capabilities = [0] * count

    def set_compute_capability(self, capability: _Capability, at: int) -> None:
        self.capabilities[at] = capability.value

    def create_timing_cache(self, content: bytes) -> Any:
        self._trt.timings_seen.append(content)
        return SimpleNamespace(serialize=lambda: b"measured")

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        return self._trt.timings_seen[-1] in (b"", b"measured")


class _Parser:
    def __init__(self, network: Any, logger: _ILogger) -> None:
        self._network = network
        self._errors: list[str] = []

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, at: int) -> Any:
        return SimpleNamespace(desc=lambda: self._errors[at])

    def parse(self, content: bytes) -> bool:
        try:
            model = onnx.load_model_from_string(content)
            onnx.checker.check_model(model)
        except Exception as error:
            self._errors.append(f"not understood:\n{error}")
            return False
        values = list(model.graph.input)
        sizes = [tuple(size.dim_value or -1 for size in value.type.tensor_type.shape.dim) for value in values]
        tensors = [SimpleNamespace(name=v.name, shape=s) for v, s in zip(values, sizes, strict=True)]
        self._network.graph, self._network.num_inputs = model, len(tensors)
        self._network.get_input = lambda i: tensors[i]
        return True


class _Runtime:
    def __init__(self, trt: FakeTensorRT, logger: _ILogger) -> None:
        self._trt, self._logger = trt, logger

    def deserialize_cuda_engine(self, plan: bytes) -> _Engine | None:
        device = self._trt.device
        assert device is not None
        if not plan.startswith(MAGIC):
            self._logger.log(_Severity.ERROR, "Serialization assertion failed: magicTag == expected")
            return None
        head, graph = plan.removeprefix(MAGIC).split(b"\n", 1)
        told = json.loads(head)
        mine = f"SM{device.capability[0]}{device.capability[1]}" if self._trt.rtx else device.name
        if mine not in told["gpus"]:
            self._logger.log(_Severity.ERROR, "The engine plan file is generated on an incompatible device")
            return None
        if told["version"] != self._trt.__version__:
            self._logger.log(_Severity.ERROR, "The engine was built by another version")
            return None
        return _Engine(self._trt, told["largest"], graph)


class _Engine:
    device_memory_size_v2 = 4096

    def __init__(self, trt: FakeTensorRT, largest: dict[str, list[int]], graph: bytes) -> None:
        self.trt, self._largest = trt, largest
        self.session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        self.inputs = {value.name: value.shape for value in self.session.get_inputs()}
        self.outputs = {value.name: value.shape for value in self.session.get_outputs()}
        self._names: list[str] = [*self.inputs, *self.outputs]

    @property
    def num_io_tensors(self) -> int:
        return len(self._names)

    def get_tensor_name(self, at: int) -> str:
        return self._names[at]

    def get_tensor_mode(self, name: str) -> _Mode:
        return _Mode.INPUT if name in self.inputs else _Mode.OUTPUT

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (-1, *{**self.inputs, **self.outputs}[name][1:])

    def get_tensor_dtype(self, name: str) -> _DataType:
        return _DataType.FLOAT

    def get_tensor_profile_shape(self, name: str, profile: int) -> list[tuple[int, ...]]:
        assert profile == 0
        largest = tuple(self._largest[name])
        return [(1, *largest[1:]), (1, *largest[1:]), largest]

    def create_runtime_config(self) -> Any:
        config = SimpleNamespace(strategy=None, dynamic_shapes_kernel_specialization_strategy=_Specialization.LAZY)
        config.set_execution_context_allocation_strategy = lambda strategy: setattr(config, "strategy", strategy)
        return config

    def create_execution_context(self, how: Any) -> _Context:
        if self.trt.rtx:
            assert how.dynamic_shapes_kernel_specialization_strategy is _Specialization.EAGER
            how = how.strategy
        assert how is _Allocation.USER_MANAGED
        context = _Context(self)
        self.trt.contexts.add(context)
        return context


class _Context:
    def __init__(self, engine: _Engine) -> None:
        self._engine = engine
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self._working: tuple[int, int] | None = None
        self._ran = False

    def set_device_memory(self, address: int, n_bytes: int) -> None:
        assert n_bytes >= self._engine.device_memory_size_v2 and address % 256 == 0
        self._working = (address, n_bytes)

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        _, _, largest = self._engine.get_tensor_profile_shape(name, 0)
        self._shapes[name] = shape
        return len(shape) == len(largest) and shape[1:] == largest[1:] and 1 <= shape[0] <= largest[0]

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return name in {**self._engine.inputs, **self._engine.outputs}

    def execute_async_v3(self, stream_address: int) -> bool:
        device = self._engine.trt.device
        assert device is not None
        stream = device.queue_of(stream_address)
        assert self._working is not None, "no memory to work with"
        assert self._ran or stream.noted is None, "captured before it has run once"
        assert self._shapes.keys() == self._engine.inputs.keys()
        self._ran = True
        stream.add(self._compute)
        return True

    def _compute(self) -> None:
        device = self._engine.trt.device
        assert device is not None
        assert self._working is not None
        device.bytes_at(*self._working)
        tensors = {}
        for name, shape in self._shapes.items():
            content = device.bytes_at(self._addresses[name], 4 * int(np.prod(shape)))
            tensors[name] = content.view(np.float32).reshape(shape).copy()
            assert np.isfinite(tensors[name]).all(), f"{name} was never uploaded"
        outputs = dict(zip(self._engine.outputs, self._engine.session.run(None, tensors), strict=True))
        self._engine.trt.spoil(outputs)
        for name, rows in outputs.items():
            rows = np.ascontiguousarray(rows, np.float32)
            device.bytes_at(self._addresses[name], rows.nbytes)[:] = rows.reshape(-1).view(np.uint8)
