"""The Sparkplug B payload (Eclipse Sparkplug 3.0, package org.eclipse.tahu.protobuf) as protobuf descriptors. Pure.

Only the structure is stated here, field by field; what no reading needs (metadata, data sets, templates) is declared
as bytes, which is the same on the wire.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "org.eclipse.tahu.protobuf"
_TYPE = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "uint64": _TYPE.TYPE_UINT64, "uint32": _TYPE.TYPE_UINT32, "float": _TYPE.TYPE_FLOAT, "double": _TYPE.TYPE_DOUBLE,
    "bool": _TYPE.TYPE_BOOL, "string": _TYPE.TYPE_STRING, "bytes": _TYPE.TYPE_BYTES,
}  # fmt: skip
# name: (number, type, kind); kind: "" optional, "*" repeated, "|" one of the values
_MESSAGES: dict[str, dict[str, tuple[int, str, str]]] = {
    "PropertyValue": {
        "type": (1, "uint32", ""), "is_null": (2, "bool", ""), "int_value": (3, "uint32", "|"),
        "long_value": (4, "uint64", "|"), "float_value": (5, "float", "|"), "double_value": (6, "double", "|"),
        "boolean_value": (7, "bool", "|"), "string_value": (8, "string", "|"), "set_value": (9, "bytes", "|"),
        "sets_value": (10, "bytes", "|"),
    },
    "PropertySet": {"keys": (1, "string", "*"), "values": (2, "PropertyValue", "*")},
    "Metric": {
        "name": (1, "string", ""), "alias": (2, "uint64", ""), "timestamp": (3, "uint64", ""),
        "datatype": (4, "uint32", ""), "is_historical": (5, "bool", ""), "is_transient": (6, "bool", ""),
        "is_null": (7, "bool", ""), "metadata": (8, "bytes", ""), "properties": (9, "PropertySet", ""),
        "int_value": (10, "uint32", "|"), "long_value": (11, "uint64", "|"), "float_value": (12, "float", "|"),
        "double_value": (13, "double", "|"), "boolean_value": (14, "bool", "|"), "string_value": (15, "string", "|"),
        "bytes_value": (16, "bytes", "|"), "dataset_value": (17, "bytes", "|"), "template_value": (18, "bytes", "|"),
        "extension_value": (19, "bytes", "|"),
    },
    "Payload": {
        "timestamp": (1, "uint64", ""), "metrics": (2, "Metric", "*"), "seq": (3, "uint64", ""),
        "uuid": (4, "string", ""), "body": (5, "bytes", ""),
    },
}  # fmt: skip


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="meantime_sparkplug_b.proto", package=_PACKAGE, syntax="proto2"
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        if any(kind == "|" for _, _, kind in fields.values()):
            message.oneof_decl.add(name="value")
        for field_name, (number, type_name, kind) in fields.items():
            field = message.field.add(name=field_name, number=number)
            field.label = _TYPE.LABEL_REPEATED if kind == "*" else _TYPE.LABEL_OPTIONAL
            if type_name in _SCALARS:
                field.type = _SCALARS[type_name]
            else:
                field.type, field.type_name = _TYPE.TYPE_MESSAGE, f".{_PACKAGE}.{type_name}"
            if kind == "|":
                field.oneof_index = 0
    return file


def _payload() -> Any:
    pool = descriptor_pool.DescriptorPool()  # our own: another library may have registered the real file
    pool.Add(_file())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Payload"))


PayloadMessage = _payload()
