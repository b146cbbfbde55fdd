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

_VECTOR = ir.VectorType(ir.DoubleType(), LANES)
_MASK = ir.VectorType(ir.IntType(1), LANES)
_I32 = ir.IntType(32)


class VectorType(types.Type):  # type: ignore[misc]
    """``LANES`` float64 in a register."""

    def __init__(self) -> None:
        super().__init__(f"float64x{LANES}")


class MaskType(types.Type):  # type: ignore[misc]
    """``LANES`` truth values in a register."""

    def __init__(self) -> None:
        super().__init__(f"maskx{LANES}")


VECTOR, MASK = VectorType(), MaskType()


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)  # type: ignore[no-untyped-call]


@register_model(MaskType)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _MASK)  # type: ignore[no-untyped-call]


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, offset: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [offset]), _VECTOR.as_pointer())


@intrinsic
def load(_typing: Any, array: Any, offset: Any) -> Any:
    """``LANES`` elements of a contiguous float64 array from flat ``offset`` on; bounds are the caller's."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = builder.load(_pointer(context, builder, signature.args[0], args[0], args[1]))
        value.align = 8
        return value

    return VECTOR(array, offset), emit


@intrinsic
def store(_typing: Any, array: Any, offset: Any, vector: Any) -> Any:
    """Write ``LANES`` elements from flat ``offset`` on."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        done = builder.store(args[2], _pointer(context, builder, signature.args[0], args[0], args[1]))
        done.align = 8
        return context.get_dummy_value()

    return types.void(array, offset, VECTOR), emit


@intrinsic
def spread(_typing: Any, x: Any) -> Any:
    """One number in every lane."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        undefined = ir.Constant(_VECTOR, ir.Undefined)
        first = builder.insert_element(undefined, args[0], ir.Constant(_I32, 0))
        lanes = ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES)
        return builder.shuffle_vector(first, undefined, lanes)

    return VECTOR(types.float64), emit


@intrinsic
def fma(_typing: Any, x: Any, y: Any, z: Any) -> Any:
    """x * y + z, rounded once where the CPU can."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        product = builder.fmul(args[0], args[1], flags=["contract"])
        return builder.fadd(product, args[2], flags=["contract"])

    return VECTOR(VECTOR, VECTOR, VECTOR), emit


@intrinsic
def mul(_typing: Any, x: Any, y: Any) -> Any:
    """x * y"""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.fmul(args[0], args[1])

    return VECTOR(VECTOR, VECTOR), emit


@intrinsic
def add(_typing: Any, x: Any, y: Any) -> Any:
    """x + y"""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.fadd(args[0], args[1])

    return VECTOR(VECTOR, VECTOR), emit


@intrinsic
def less(_typing: Any, x: Any, y: Any) -> Any:
    """x < y in every lane; false where either is NaN."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.fcmp_ordered("<", args[0], args[1])

    return MASK(VECTOR, VECTOR), emit


@intrinsic
def either(_typing: Any, x: Any, y: Any) -> Any:
    """x or y in every lane."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.or_(args[0], args[1])

    return MASK(MASK, MASK), emit


@intrinsic
def where(_typing: Any, mask: Any, x: Any) -> Any:
    """x where the mask holds, 0 elsewhere."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.select(args[0], args[1], ir.Constant(_VECTOR, [0.0] * LANES))

    return VECTOR(MASK, VECTOR), emit


@intrinsic
def choose(_typing: Any, mask: Any, x: Any, y: Any) -> Any:
    """x where the mask holds, y elsewhere."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.select(args[0], args[1], args[2])

    return VECTOR(MASK, VECTOR, VECTOR), emit


@intrinsic
def div(_typing: Any, x: Any, y: Any) -> Any:
    """x / y"""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.fdiv(args[0], args[1])

    return VECTOR(VECTOR, VECTOR), emit


@intrinsic
def minimum(_typing: Any, x: Any, y: Any) -> Any:
    """The smaller of x and y in every lane; neither may be NaN."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.select(builder.fcmp_ordered("<", args[0], args[1]), args[0], args[1])

    return VECTOR(VECTOR, VECTOR), emit


@intrinsic
def least(_typing: Any, x: Any) -> Any:
    """The smallest lane; lanes must not be NaN."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        lane = builder.extract_element(args[0], ir.Constant(_I32, 0))
        for i in range(1, LANES):
            other = builder.extract_element(args[0], ir.Constant(_I32, i))
            lane = builder.select(builder.fcmp_ordered("<", other, lane), other, lane)
        return lane

    return types.float64(VECTOR), emit


@intrinsic
def bits(_typing: Any, mask: Any) -> Any:
    """The mask as an integer, lane 0 in bit 0."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.zext(builder.bitcast(args[0], ir.IntType(LANES)), ir.IntType(64))

    return types.int64(MASK), emit


@intrinsic
def lowest(_typing: Any, x: Any) -> Any:
    """Number of trailing zero bits of a positive integer."""

    def emit(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), emit
