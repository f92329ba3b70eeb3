"""Vectors of WIDTH numbers of one type, and pointers to them, for kernels compiled by numba.

Loops that numba leaves to LLVM keep their sums in memory or choose other vectors from case to case. These are explicit:
a `load` is one register where the processor has such (AVX-512, float32), two or more elsewhere, and each lane is
computed as a number alone would be.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models, register_default
from numba.extending import intrinsic

WIDTH = 16  # samples side by side


class Vector(types.Type):
    """WIDTH numbers of `dtype`."""

    def __init__(self, dtype):
        self.dtype = dtype
        super().__init__(name=f"Vector({dtype})")


@register_default(Vector)
class VectorModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, ir.VectorType(manager.lookup(kind.dtype).get_value_type(), WIDTH))


def _type_of(context, pointer):
    return ir.VectorType(context.get_value_type(pointer.dtype), WIDTH)


def _size(context, kind) -> int:
    return context.get_abi_sizeof(context.get_value_type(kind))


def _splat(builder, number, kind):
    vector = builder.insert_element(ir.Constant(kind, ir.Undefined), number, ir.IntType(32)(0))
    return builder.shuffle_vector(vector, vector, ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH))


@intrinsic
def pointer(typing, address, like):
    """The pointer to an address of numbers of the type of the array `like`."""

    def build(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(like.dtype)(types.int64, like), build


@intrinsic
def start(typing, array):
    """The pointer to the first number of a contiguous array."""

    def build(context, builder, signature, arguments):
        return cgutils.create_struct_proxy(array)(context, builder, arguments[0]).data

    return types.CPointer(array.dtype)(array), build


@intrinsic
def after(typing, pointer, count):
    """The pointer `count` numbers further on."""

    def build(context, builder, signature, arguments):
        return builder.gep(arguments[0], [arguments[1]])

    return pointer(pointer, types.int64), build


@intrinsic
def load(typing, pointer, index):
    """The vector that begins at pointer[index]."""

    def build(context, builder, signature, arguments):
        place = builder.gep(arguments[0], [arguments[1]])
        place = builder.bitcast(place, _type_of(context, pointer).as_pointer())
        return builder.load(place, align=_size(context, pointer.dtype))

    return Vector(pointer.dtype)(pointer, types.int64), build


@intrinsic
def store(typing, pointer, index, vector):
    def build(context, builder, signature, arguments):
        place = builder.gep(arguments[0], [arguments[1]])
        place = builder.bitcast(place, _type_of(context, pointer).as_pointer())
        builder.store(arguments[2], place, align=_size(context, pointer.dtype))
        return context.get_dummy_value()

    return types.void(pointer, types.int64, vector), build


@intrinsic
def value(typing, pointer, index):
    """The number pointer[index]."""

    def build(context, builder, signature, arguments):
        return builder.load(builder.gep(arguments[0], [arguments[1]]))

    return pointer.dtype(pointer, types.int64), build


@intrinsic
def spread(typing, number):
    """The vector that is `number` everywhere."""

    def build(context, builder, signature, arguments):
        return _splat(builder, arguments[0], context.get_value_type(signature.return_type))

    return Vector(number)(number), build


@intrinsic
def zeros(typing, pointer):
    """The vector of zeros of a pointer's type."""

    def build(context, builder, signature, arguments):
        return ir.Constant(_type_of(context, pointer), None)

    return Vector(pointer.dtype)(pointer), build


@intrinsic
def fma(typing, a, b, c):
    """a * b + c, rounded once where the processor can."""

    def build(context, builder, signature, arguments):
        kind = context.get_value_type(a)
        name = f"llvm.fmuladd.v{WIDTH}f{8 * _size(context, a.dtype)}"
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind] * 3), name)
        return builder.call(function, arguments)

    return a(a, a, a), build


def _of_two(operation):
    @intrinsic
    def function(typing, a, b):
        def build(context, builder, signature, arguments):
            return operation(builder, *arguments)

        return a(a, a), build

    return function


plus = _of_two(lambda builder, a, b: builder.fadd(a, b))
minus = _of_two(lambda builder, a, b: builder.fsub(a, b))
times = _of_two(lambda builder, a, b: builder.fmul(a, b))


def _larger(builder, a, b):
    first = builder.or_(builder.fcmp_ordered(">", a, b), builder.fcmp_unordered("uno", a, a))
    return builder.select(first, a, b)


larger = _of_two(_larger)  # lane by lane the larger of both, or what is no number


@intrinsic
def equal(typing, a, b, yes):
    """`yes` where a = b, elsewhere zero."""

    def build(context, builder, signature, arguments):
        same = builder.fcmp_ordered("==", arguments[0], arguments[1])
        return builder.select(same, arguments[2], ir.Constant(context.get_value_type(a), None))

    return a(a, a, a), build


@intrinsic
def where_positive(typing, a, yes):
    """`yes`, but zero where a <= 0: so what is no number stays."""

    def build(context, builder, signature, arguments):
        zero = ir.Constant(context.get_value_type(a), None)
        return builder.select(builder.fcmp_ordered("<=", arguments[0], zero), zero, arguments[1])

    return a(a, a), build


@intrinsic
def across(typing, vector, lanes):
    """The sum of the first `lanes` numbers of a vector, always in the same order."""

    def build(context, builder, signature, arguments):
        whole = ir.VectorType(ir.IntType(64), WIDTH)
        numbers = ir.Constant(whole, list(range(WIDTH)))
        counted = builder.icmp_signed("<", numbers, _splat(builder, arguments[1], whole))
        total = builder.select(counted, arguments[0], ir.Constant(context.get_value_type(vector), None))
        width = WIDTH
        while width > 1:
            width //= 2
            halves = (
                builder.shuffle_vector(
                    total, total, ir.Constant(ir.VectorType(ir.IntType(32), width), [first + i for i in range(width)])
                )
                for first in (0, width)
            )
            total = builder.fadd(*halves)
        return builder.extract_element(total, ir.IntType(32)(0))

    return vector.dtype(vector, types.int64), build
