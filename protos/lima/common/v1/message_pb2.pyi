from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Message(_message.Message):
    __slots__ = ("role", "content")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    role: str
    content: str
    def __init__(self, role: _Optional[str] = ..., content: _Optional[str] = ...) -> None: ...

class Attribution(_message.Message):
    __slots__ = ("url", "author", "licence", "title", "created")
    URL_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    LICENCE_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    url: str
    author: str
    licence: str
    title: str
    created: str
    def __init__(self, url: _Optional[str] = ..., author: _Optional[str] = ..., licence: _Optional[str] = ..., title: _Optional[str] = ..., created: _Optional[str] = ...) -> None: ...

class Example(_message.Message):
    __slots__ = ("id", "source", "split", "messages", "attribution", "tags", "provenance_json")
    ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTION_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_JSON_FIELD_NUMBER: _ClassVar[int]
    id: str
    source: str
    split: str
    messages: _containers.RepeatedCompositeFieldContainer[Message]
    attribution: Attribution
    tags: _containers.RepeatedScalarFieldContainer[str]
    provenance_json: str
    def __init__(self, id: _Optional[str] = ..., source: _Optional[str] = ..., split: _Optional[str] = ..., messages: _Optional[_Iterable[_Union[Message, _Mapping]]] = ..., attribution: _Optional[_Union[Attribution, _Mapping]] = ..., tags: _Optional[_Iterable[str]] = ..., provenance_json: _Optional[str] = ...) -> None: ...
