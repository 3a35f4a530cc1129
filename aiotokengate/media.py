"""Embeddings, images, speech and transcription, files, and requests of any other kind.

What ``gate.embed``, ``gate.images``, ``gate.audio`` and ``gate.request`` take and give.
"""

from aiotokengate._http.uploads import FilePart, Form, Source, file_part
from aiotokengate._resources.audio import (
    Audio,
    SpeechCall,
    SpeechParams,
    TranscriptFormat,
    TranscriptionCall,
    TranscriptParams,
)
from aiotokengate._resources.embeddings import EmbeddingInput, EmbeddingParams, Embeddings, Split
from aiotokengate._resources.images import (
    Face,
    Image,
    ImageCall,
    ImageParams,
    Images,
    ImagesMaker,
    Sketch,
)
from aiotokengate._resources.options import CallOptions
from aiotokengate._resources.raw import Method, RawCall
from aiotokengate._stream.download import Download
from aiotokengate._wire.media import Segment, Transcription, Word

__all__ = [
    "Audio",
    "CallOptions",
    "Download",
    "EmbeddingInput",
    "EmbeddingParams",
    "Embeddings",
    "Face",
    "FilePart",
    "Form",
    "Image",
    "ImageCall",
    "ImageParams",
    "Images",
    "ImagesMaker",
    "Method",
    "RawCall",
    "Segment",
    "Sketch",
    "Source",
    "SpeechCall",
    "SpeechParams",
    "Split",
    "TranscriptFormat",
    "TranscriptParams",
    "Transcription",
    "TranscriptionCall",
    "Word",
    "file_part",
]
