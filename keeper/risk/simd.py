"""Explicit vectors for numba: load, multiply-add, compare, select, as generic LLVM vectors (AVX2, AVX-512,
NEON).

Plain numba loops keep accumulators in memory and use half the register width; with these the sweep runs near
hand written C. A kernel built on them has a plain twin, used where nothing is compiled. ``LANES`` doubles a
vector.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm  # type: ignore[import-untyped]
from llvmlite import ir
from numba.extending import intrinsic as _intrinsic
from numba.extending import models, register_model

from keeper.risk.jit import types


def intrinsic(function: Callable[..., Any]) -> Any:
    """A function that emits LLVM instructions; numba's decorator with a type."""
    decorate: Any = _intrinsic
    return decorate(function)


LANES = 8 if llvm.get_host_cpu_features().get("avx512f", False) else 4
"""float64 per vector: what one register of this CPU holds."""

_I32 = ir.IntType(32)


class VectorType(types.Type):  # type: ignore[misc]
    """``lanes`` numbers of 32 or 64 bits in a register."""

    def __init__(self, width: int, lanes: int) -> None:
        self.width, self.lanes = width, lanes
        super().__init__(f"float{width}x{lanes}")

    def shape(self) -> Any:
        """Its type in LLVM."""
        return ir.VectorType(ir.DoubleType() if self.width == 64 else ir.FloatType(), self.lanes)


class MaskType(types.Type):  # type: ignore[misc]
    """``lanes`` truth values in a register."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        super().__init__(f"maskx{lanes}")


VECTOR, SINGLE = VectorType(64, LANES), VectorType(32, 2 * LANES)
_MASKS = {LANES: MaskType(LANES), 2 * LANES: MaskType(2 * LANES)}


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, kind.shape())  # type: ignore[no-untyped-call]


@register_model(MaskType)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        shape = ir.VectorType(ir.IntType(1), kind.lanes)
        super().__init__(manager, kind, shape)  # type: ignore[no-untyped-call]


def _of(array: Any) -> Any:
    """The vector that an array's elements fill."""
    return SINGLE if array.dtype == types.float32 else VECTOR


def _pointer(context: Any, builder: Any, kind: Any, array: Any, offset: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [offset]), _of(kind).shape().as_pointer())


@intrinsic
def load(_typing: Any, array: Any, offset: Any) -> Any:
    """A vector of a contiguous float array's elements from flat ``offset`` on; bounds are the caller's."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = builder.load(_pointer(context, builder, signature.args[0], args[0], args[1]))
        value.align = 4
        return value

    return _of(array)(array, offset), emit


@intrinsic
def store(_typing: Any, array: Any, offset: Any, vector: Any) -> Any:
    """Write a vector's elements from flat ``offset`` on."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        done = builder.store(args[2], _pointer(context, builder, signature.args[0], args[0], args[1]))
        done.align = 4
        return context.get_dummy_value()

    return types.void(array, offset, vector), emit


@intrinsic
def spread(_typing: Any, x: Any) -> Any:
    """One number in every lane: eight or sixteen of them for a float32."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        undefined = ir.Constant(kind.shape(), ir.Undefined)
        first = builder.insert_element(undefined, args[0], ir.Constant(_I32, 0))
        lanes = ir.Constant(ir.VectorType(_I32, kind.lanes), [0] * kind.lanes)
        return builder.shuffle_vector(first, undefined, lanes)

    kind, number = (SINGLE, x) if x == types.float32 else (VECTOR, types.float64)
    return kind(number), emit


@intrinsic
def fma(_typing: Any, x: Any, y: Any, z: Any) -> Any:
    """x * y + z, rounded once where the CPU can."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        product = builder.fmul(args[0], args[1], flags=["contract"])
        return builder.fadd(product, args[2], flags=["contract"])

    return x(x, x, x), emit


@intrinsic
def mul(_typing: Any, x: Any, y: Any) -> Any:
    """x * y"""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.fmul(args[0], args[1])

    return x(x, x), emit


@intrinsic
def add(_typing: Any, x: Any, y: Any) -> Any:
    """x + y"""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.fadd(args[0], args[1])

    return x(x, x), emit


@intrinsic
def less(_typing: Any, x: Any, y: Any) -> Any:
    """x < y in every lane; false where either is NaN."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.fcmp_ordered("<", args[0], args[1])

    return _MASKS[x.lanes](x, x), emit


@intrinsic
def either(_typing: Any, x: Any, y: Any) -> Any:
    """x or y in every lane."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.or_(args[0], args[1])

    return x(x, x), emit


@intrinsic
def where(_typing: Any, mask: Any, x: Any) -> Any:
    """x where the mask holds, 0 elsewhere."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.select(args[0], args[1], ir.Constant(x.shape(), [0.0] * x.lanes))

    return x(mask, x), emit


@intrinsic
def choose(_typing: Any, mask: Any, x: Any, y: Any) -> Any:
    """x where the mask holds, y elsewhere."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.select(args[0], args[1], args[2])

    return x(mask, x, x), emit


@intrinsic
def div(_typing: Any, x: Any, y: Any) -> Any:
    """x / y"""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.fdiv(args[0], args[1])

    return x(x, x), emit


@intrinsic
def minimum(_typing: Any, x: Any, y: Any) -> Any:
    """The smaller of x and y in every lane; neither may be NaN."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.select(builder.fcmp_ordered("<", args[0], args[1]), args[0], args[1])

    return x(x, x), emit


@intrinsic
def least(_typing: Any, x: Any) -> Any:
    """The smallest lane; lanes must not be NaN."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        lane = builder.extract_element(args[0], ir.Constant(_I32, 0))
        for i in range(1, x.lanes):
            other = builder.extract_element(args[0], ir.Constant(_I32, i))
            lane = builder.select(builder.fcmp_ordered("<", other, lane), other, lane)
        return lane

    return (types.float32 if x.width == 32 else types.float64)(x), emit


@intrinsic
def bits(_typing: Any, mask: Any) -> Any:
    """The mask as an integer, lane 0 in bit 0."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.zext(builder.bitcast(args[0], ir.IntType(mask.lanes)), ir.IntType(64))

    return types.int64(mask), emit


@intrinsic
def widen(_typing: Any, x: Any) -> Any:
    """The two halves of a vector of float32, in order, as vectors of float64."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        halves = []
        for begin in (0, LANES):
            lanes = ir.Constant(ir.VectorType(_I32, LANES), list(range(begin, begin + LANES)))
            half = builder.shuffle_vector(args[0], args[0], lanes)
            halves.append(builder.fpext(half, VECTOR.shape()))
        return context.make_tuple(builder, signature.return_type, halves)

    return types.UniTuple(VECTOR, 2)(x), emit


@intrinsic
def halves(_typing: Any, mask: Any) -> Any:
    """The two halves of a mask, in order."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        parts = []
        for begin in (0, LANES):
            lanes = ir.Constant(ir.VectorType(_I32, LANES), list(range(begin, begin + LANES)))
            parts.append(builder.shuffle_vector(args[0], args[0], lanes))
        return context.make_tuple(builder, signature.return_type, parts)

    return types.UniTuple(_MASKS[LANES], 2)(mask), emit


@intrinsic
def lowest(_typing: Any, x: Any) -> Any:
    """Number of trailing zero bits of a positive integer."""

    def emit(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), emit
