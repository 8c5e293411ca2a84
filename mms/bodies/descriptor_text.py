"""Protobuf descriptors from lines as `names 1 repeated string`, without a compiler or generated code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from google.protobuf import descriptor_pb2

_Field = descriptor_pb2.FieldDescriptorProto

_SCALARS = {
    "bool": _Field.TYPE_BOOL,
    "bytes": _Field.TYPE_BYTES,
    "double": _Field.TYPE_DOUBLE,
    "float": _Field.TYPE_FLOAT,
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
    "string": _Field.TYPE_STRING,
    "uint32": _Field.TYPE_UINT32,
    "uint64": _Field.TYPE_UINT64,
}


def file_of(
    name: str,
    package: str,
    *,
    imports: Sequence[str] = (),
    messages: Sequence[descriptor_pb2.DescriptorProto] = (),
    enums: Sequence[descriptor_pb2.EnumDescriptorProto] = (),
    services: Mapping[str, Sequence[str]] | None = None,
) -> descriptor_pb2.FileDescriptorProto:
    """A proto3 file; a service's methods are written `Name .package.Request .package.Response`.

    A field whose type begins with the name of its own message names one that is nested in it.
    """
    file = descriptor_pb2.FileDescriptorProto(name=name, package=package, syntax="proto3")
    file.dependency.extend(imports)
    file.message_type.extend(messages)
    file.enum_type.extend(enums)
    for service_name, methods in (services or {}).items():
        service = file.service.add(name=service_name)
        for method in methods:
            method_name, input_type, output_type = method.split()
            service.method.add(name=method_name, input_type=input_type, output_type=output_type)
    for message in file.message_type:
        for field in message.field:
            if field.type_name.startswith("@"):
                field.type_name = f".{package}.{message.name}.{field.type_name[1:]}"
    return file


def enum_of(name: str, values: Mapping[str, int]) -> descriptor_pb2.EnumDescriptorProto:
    enum = descriptor_pb2.EnumDescriptorProto(name=name)
    for value_name, number in values.items():
        enum.value.add(name=value_name, number=number)
    return enum


def message_of(
    name: str,
    *fields: str,
    nested: Sequence[descriptor_pb2.DescriptorProto] = (),
    enums: Sequence[descriptor_pb2.EnumDescriptorProto] = (),
) -> descriptor_pb2.DescriptorProto:
    """A message of fields written `name number [repeated|oneof:group|map|enum] type`.

    A type is a scalar, or the full name of a message with a dot before it; `map` has string keys;
    `enum @Name` is an enumeration of `enums`.
    """
    message = descriptor_pb2.DescriptorProto(name=name)
    message.nested_type.extend(nested)
    message.enum_type.extend(enums)
    for line in fields:
        field_name, number, *words = line.split()
        field = message.field.add(name=field_name, number=int(number), label=_Field.LABEL_OPTIONAL)
        type_name = words.pop()
        kind = words[0] if words else ""
        if kind == "map":
            entry = field_name[0].upper() + field_name[1:] + "Entry"
            added = message.nested_type.add()
            added.CopyFrom(message_of(entry, "key 1 string", f"value 2 {type_name}"))
            added.options.map_entry = True
            kind, type_name = "repeated", f"@{entry}"
        if kind == "repeated":
            field.label = _Field.LABEL_REPEATED
        elif kind.startswith("oneof:"):
            group = kind.removeprefix("oneof:")
            groups = [oneof.name for oneof in message.oneof_decl]
            if group not in groups:
                message.oneof_decl.add(name=group)
                groups.append(group)
            field.oneof_index = groups.index(group)
        if type_name in _SCALARS:
            field.type = _SCALARS[type_name]
        else:
            field.type = _Field.TYPE_ENUM if kind == "enum" else _Field.TYPE_MESSAGE
            field.type_name = type_name
    return message
