"""The session: one key, one address, its settings, and what can be asked for."""

from __future__ import annotations

import os
from collections.abc import (
    AsyncIterable,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)
from ssl import SSLContext
from typing import TYPE_CHECKING, Any, Never, Self, TypeVar, Unpack
from urllib.parse import urlsplit

from attrs.validators import deep_iterable, instance_of, is_callable, optional

from aiotokengate import _resources
from aiotokengate._base.copying import Shared
from aiotokengate._base.sealing import sealed, sealed_class
from aiotokengate._base.settings import FINITE, FROM_ZERO, checked, expected, kind
from aiotokengate._base.unused import hand_over
from aiotokengate._calls.admission import Admission
from aiotokengate._calls.routes import Endpoint, Route, Routes
from aiotokengate._calls.sending import Sender, closed
from aiotokengate._http.connectors import Trust
from aiotokengate._http.keys import ApiKey, KeySource, checked_key, stripped
from aiotokengate._http.proxies import Ways
from aiotokengate._http.transport import Transport
from aiotokengate._policy.retry import Retry
from aiotokengate._policy.timeouts import Timeout
from aiotokengate._pool.pool import Pool
from aiotokengate._resources.chat import (
    RUN_OPTIONS,
    TURN_OPTIONS,
    check_call,
    check_options,
    check_turn,
    check_way,
    make_call,
    message_list,
)
from aiotokengate._resources.options import (
    Defaults,
    Options,
    check_several,
    refuse,
)
from aiotokengate._stream.call import ChatCall
from aiotokengate._stream.receiver import READ_AHEAD
from aiotokengate._wire.headers import credentials
from aiotokengate.catalogue import CATALOGUE, Catalogue
from aiotokengate.clock import Clock, RealClock
from aiotokengate.errors import CallerError
from aiotokengate.types import ChatParams

if TYPE_CHECKING:
    import ssl as ssl_module
    from types import TracebackType

    from aiotokengate._calls.many import Outcomes
    from aiotokengate._http.uploads import Form
    from aiotokengate._policy.queue import Priority
    from aiotokengate._resources.audio import Audio
    from aiotokengate._resources.chat import (
        ChatOptions,
        CheckOptions,
        RunOptions,
        Tools,
        TurnOptions,
    )
    from aiotokengate._resources.conversation import Conversation
    from aiotokengate._resources.embeddings import (
        EmbeddingInput,
        EmbeddingParams,
        Embeddings,
        Split,
    )
    from aiotokengate._resources.images import ImagesMaker
    from aiotokengate._resources.jobs import Job, Pollers
    from aiotokengate._resources.music import Music
    from aiotokengate._resources.raw import Method, RawCall
    from aiotokengate._resources.structured import Tool
    from aiotokengate._resources.tools import ToolCalls
    from aiotokengate._resources.videos import Videos
    from aiotokengate.catalogue import ModelInfo, ProtocolName
    from aiotokengate.hooks import Hook
    from aiotokengate.types import Answer, Json, Messages, Parsed, Reasoning, ResponseType

__all__ = ["DEFAULT_BASE_URL", "TokenGate"]

DEFAULT_BASE_URL = "https://wan.vnet.com/v1"
_Asked = TypeVar("_Asked", bound=ChatCall | Mapping[str, Any])
_NOT_GIVEN = (None, None)
_NO_OPTIONS = (None,) * 7
MAX_REPLY_BYTES = 512 * 1024 * 1024

_NO_KEY = (
    "no API key: set the environment variable TOKENGATE_API_KEY, "
    "or pass TokenGate(api_key='sk-...')\n"
    "缺少 API key：请设置环境变量 TOKENGATE_API_KEY，或传入 TokenGate(api_key='sk-...')"
)


@sealed_class
class TokenGate(Shared):
    """A session with the gateway: makes calls, keeps connections, applies the policies.

    It may be a module global: it opens connections lazily for each running event loop, and a call
    can never reach a loop that is gone.  As a context manager it closes them at the end.

    Args:
        api_key: the key; ``TOKENGATE_API_KEY`` by default.  For keys that change, a callable that
            returns it, sync or async, asked before each request; what it raises is the cause of a
            :class:`CallerError`.
        base_url: ends in ``/v1``; ``TOKENGATE_BASE_URL``, else TokenGate's own address.
        endpoints: several keys, or addresses, in place of ``api_key``: a call takes the one on
            which it can go soonest.
        pool: lets calls in as the quota allows, see :class:`Pool`; by default one of its own,
            which learns the limits.
        timeout: the clocks of a call, see :class:`Timeout`.
        retry: attempts before the first delta, see :class:`Retry`.
        hooks: observers, see :mod:`aiotokengate.hooks`.
        extra_headers: sent with every request.
        extra_body: merged into the body of every chat request.
        proxy: address of a proxy, of HTTP or SOCKS (extra ``socks``), for everything; by default
            what the environment says, "" for none.
        ssl: a TLS context, or False to accept any certificate.
        allow_private: whether files that the gateway names, or that it redirects to, may stand on
            loopback, link-local and private addresses; where ``base_url`` is one, they may.
        strict: whether a frame of a reply that can't be read is an error; by default it is counted
            and noted (``Reply.skipped``), and no tool call of that reply is complete.
        max_reply_bytes: a reply larger than this, 512 MiB by default, is an error.
        read_ahead: how many bytes of a reply's text may wait for a reader, 1 MiB by default; past
            them its connection is paused until somebody reads on.
        catalogue: what is known of models.
        paths: where systems stand whose place differs between gateways, by name: ``audio_speech``,
            ``audio_transcriptions``, ``images_dashscope``, ``images_edits``,
            ``images_generations``, ``suno_api``, ``suno_generator``, ``suno_info``,
            ``suno_unwrap``, ``video_generations``, ``videos``.  Each is under ``base_url``, or
            beside its ``/v1`` where it begins with ``../``.
        clock: for simulations.

    Raises:
        CallerError: no key, or an argument is wrong.
    """

    _instead = (
        "a TokenGate holds a key and connections: make one in each process, and share the limits "
        "with Pool(backend=aiotokengate.redis.RedisBackend(...))"
    )

    def __init__(  # noqa: PLR0913 - the session's settings
        self,
        *,
        api_key: ApiKey | None = None,
        base_url: str | None = None,
        endpoints: Sequence[Endpoint] | None = None,
        pool: Pool | None = None,
        timeout: Timeout | None = None,
        retry: Retry | None = None,
        hooks: Iterable[Hook] = (),
        extra_headers: Mapping[str, str] | None = None,
        extra_body: Mapping[str, Json] | None = None,
        proxy: str | None = None,
        ssl: ssl_module.SSLContext | bool = True,
        allow_private: bool = False,
        strict: bool = False,
        max_reply_bytes: int = MAX_REPLY_BYTES,
        read_ahead: int = READ_AHEAD,
        catalogue: Catalogue = CATALOGUE,
        paths: Mapping[str, str] | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Read the settings; nothing is opened."""
        own_key = any(str(name).lower() == "idempotency-key" for name in extra_headers or ())
        self.timeout: Timeout = Timeout() if timeout is None else timeout
        self.retry: Retry = Retry() if retry is None else retry
        body = {} if extra_body is None else extra_body
        places = {} if paths is None else paths
        self._defaults = Defaults(
            self.timeout, self.retry, body, catalogue, places, strict, own_key
        )
        Options(extra_headers=extra_headers)  # which checks them
        try:
            ways, trust = _network(proxy=proxy, ssl=ssl, allow_private=allow_private)
        finally:
            del proxy  # its password is for no traceback
        self.base_url: str = _address(base_url)
        clock = clock or RealClock()
        observers = checked(tuple(hooks) if isinstance(hooks, Iterable) else (hooks, None), _HOOKS)

        def route(place: int, endpoint: Endpoint) -> Route:
            address = _address(endpoint.base_url, self.base_url)
            given, key, source = endpoint.api_key, "", None
            if callable(given):
                source = KeySource(given, f"{place} {address}")
            else:
                key = _key(given)
            headers = _headers(key, extra_headers or {})
            transport = Transport(
                address, headers=headers, proxy=ways, ssl=trust, allow_private=allow_private
            )
            transport.secrets.update(credentials(extra_headers or {}))
            return Route(address, key, transport, endpoint.weight, source=source)

        given = enumerate(_endpoints(api_key, endpoints))
        routes = Routes([route(place, endpoint) for place, endpoint in given], clock)
        lets_in = Pool(clock=clock) if pool is None else checked(pool, _POOL)
        admission = Admission(routes, lets_in, pool is None, observers, clock)
        self._sender = Sender(admission, observers, clock, max_reply_bytes, read_ahead)
        self._clock = clock
        self._made_pollers: Pollers | None = None

    def __repr__(self) -> str:
        """Name the address; never the key."""
        return f"<TokenGate {self.base_url}{' closed' if self._sender.closed else ''}>"

    async def __aenter__(self) -> Self:
        """Enter; connections are opened by the first call."""
        self._sender.check_open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close."""
        await self.close()

    async def close(self, *, drain: float | None = None) -> None:
        """Refuse who waits, end what is still streaming on this loop, and close its connections.

        What waits in the pool, for another attempt or for news of a job ends with a
        :class:`CallerError`; nothing is sent any more.

        Args:
            drain: seconds for which the calls that are on their way may go on, so that they end
                by themselves; what is not over then is ended.

        Raises:
            CallerError: ``drain`` is no number of seconds.
        """
        seconds = 0.0 if drain is None else checked(drain, _DRAIN)
        if self._made_pollers is not None:
            self._made_pollers.close(closed)
        await self._sender.close(seconds)

    @property
    def pool(self) -> Pool:
        """The pool that lets the calls in, with its statistics and slots."""
        return self._sender.admission.pool

    # --- what can be asked for ------------------------------------------------------------------

    def chat(  # noqa: PLR0913 - the entry point
        self,
        model: str,
        messages: Messages,
        *,
        stream: bool = True,
        retain: bool = True,
        strict: bool | None = None,
        reasoning: Reasoning = None,
        protocol: ProtocolName | None = None,
        tools: Tools | None = None,
        response_type: ResponseType[Answer] | None = None,
        fallback: None = None,
        resume: None = None,
        retry: Retry | None = None,
        timeout: Timeout | None = None,
        deadline: float | None = None,
        priority: Priority = "interactive",
        fair_key: str | None = None,
        extra_body: Mapping[str, Json] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        idempotency_key: str | bool | None = None,
        **params: Unpack[ChatParams],
    ) -> ChatCall[Answer]:
        """Ask a model: await the call, iterate it, or enter it.

        Args:
            model: the name, exactly as the gateway lists it.
            messages: a prompt, or the messages as dicts in the API's own form or as ``Message``.
            stream: False sends a plain request, for models that cannot stream.
            retain: False drops text once every open reader has read it, so that a stream of any
                length takes little memory; the reply then says nothing of what was dropped.
            strict: True makes a frame that can't be read an error: :class:`WireError` before the
                first delta, :class:`StreamInterrupted` after; None takes the session's.
            reasoning: how much thinking: "off", "minimal", "low", "medium", "high", "xhigh",
                "max", or a number of tokens; by default the model's own way.  Each family is
                asked in its own words; where it has none, the reply's ``notes`` say so.
            protocol: "chat", "responses", "messages" or "gemini"; by default what the catalogue
                says of the model.
            tools: functions the model may call: in the API's own form, or Python functions with
                type hints and a docstring (extra ``structured``); see :meth:`run_tools`.
            response_type: the type that the answer must have, as an attrs class, dataclass,
                TypedDict, msgspec Struct or pydantic model (extra ``structured``); the value is
                the reply's ``parsed``.  An answer that does not fit is a
                :class:`ResponseInvalid`.
            fallback: not built yet.
            resume: not built yet.
            retry: for this call.
            timeout: for this call.
            deadline: seconds for everything together, waiting and all attempts included.
            priority: "interactive" calls are let in before "bulk" ones; bulk gets on all the same.
            fair_key: the end user for whom this is; users take turns in the pool's queue.
            extra_body: merged into the body as it is.
            extra_headers: sent along.
            idempotency_key: by which the gateway knows all attempts of this call: True makes one,
                a text is sent as it is; by default there is none.
            params: the API's own parameters under their own names.

        Raises:
            CallerError: an argument is wrong, or an option is not built yet.
        """
        if (fallback, resume) != _NOT_GIVEN:
            name = "resume" if fallback is None else "fallback"
            message = f"the option {name!r} is not built yet, leave it out"
            raise CallerError(message)
        self._sender.check_open()
        if reasoning is not None or protocol is not None:
            check_way(reasoning, protocol)
        options: ChatOptions = {
            "stream": stream,
            "retain": retain,
            "strict": strict,
            "reasoning": reasoning,
            "protocol": protocol,
            "tools": tools,
            "response_type": response_type,
            "retry": retry,
            "timeout": timeout,
            "deadline": deadline,
            "priority": priority,
            "fair_key": fair_key,
            "extra_body": extra_body,
            "extra_headers": extra_headers,
            "idempotency_key": idempotency_key,
        }
        given = (timeout, retry, deadline, fair_key, extra_body, extra_headers, idempotency_key)
        if priority != "interactive" or given != _NO_OPTIONS:
            check_options(options)
        return make_call(self._sender, self._defaults, model, messages, options, params)

    def run_tools(
        self,
        model: str,
        messages: Messages,
        tools: Sequence[Callable[..., Any] | Tool],
        *,
        rounds: int = 10,
        at_once: int = 8,
        tool_timeout: float | None = None,
        **options: Unpack[RunOptions[Parsed]],
    ) -> ToolCalls[Parsed]:
        """Let a model call Python functions until it answers (extra ``structured``).

        ::

            async def weather(city: str) -> str: ...

            run = await gate.run_tools("qwen3.6-plus", "北京天气？", [weather])
            print(run.reply.answer, run.outcomes)

        Functions have type hints; the model reads their docstrings.  Those that are not ``async``
        run in threads, and what they raise is told to the model.  Iterate the run in place of
        awaiting it for the deltas of every turn and the outcome of each call.

        Args:
            model: as for :meth:`chat`.
            messages: as for :meth:`chat`.
            tools: the functions.
            rounds: turns with calls at most; the last reply then still has tool calls.
            at_once: functions that run at a time.
            tool_timeout: seconds for one function.
            options: those of :meth:`chat`, for every turn.

        Raises:
            CallerError: an argument is wrong.
        """
        check_turn("run_tools", options, RUN_OPTIONS, "rounds", "at_once", "tool_timeout")
        check_several("run_tools", options.get("idempotency_key"))
        named = _resources.checked_tools(tools)
        bounds = _resources.Bounds(rounds, at_once, tool_timeout)
        listed = list(named.values())

        @sealed
        def ask(history: Sequence[Mapping[str, Any]]) -> ChatCall:
            return self.chat(model, history, tools=listed, **options)

        return _resources.ToolCalls(ask, message_list(messages), named, bounds)

    def conversation(
        self,
        model: str = "",
        *,
        system: str = "",
        max_tokens_kept: int | None = None,
        keep_partial: bool = False,
        stored: str | None = None,
        **options: Unpack[TurnOptions],
    ) -> Conversation:
        """Begin a bot's conversation with one user, or go on with one that was stored.

        Args:
            model: as for :meth:`chat`.
            system: what stands before the history.
            max_tokens_kept: about so many tokens of history are sent; the oldest turns are
                forgotten first.
            keep_partial: whether the text of a reply that was stopped, cut or cancelled is
                recorded; else such a turn leaves no trace.
            stored: what a conversation's ``to_json()`` gave; it brings the four above and the
                options along, and those that are given here go over them.
            options: those of :meth:`chat`, for every turn.

        Raises:
            CallerError: an argument is wrong.
        """
        own = ("model", "system", "max_tokens_kept", "keep_partial", "stored")
        check_turn("a conversation", options, TURN_OPTIONS, *own)
        check_several("a conversation", options.get("idempotency_key"))
        if stored is not None:
            return _resources.Conversation.from_json(
                self.chat,
                stored,
                options,
                model=model,
                system=system,
                max_tokens_kept=max_tokens_kept,
                keep_partial=keep_partial,
            )
        if not model:
            message = "expected a model, or a stored conversation"
            raise CallerError(message)
        return _resources.Conversation(
            self.chat,
            model,
            system=system,
            max_tokens_kept=max_tokens_kept,
            keep_partial=keep_partial,
            options=options,
        )

    def check(
        self,
        model: str,
        messages: Messages,
        *,
        reasoning: Reasoning = None,
        protocol: ProtocolName | None = None,
        tools: Tools | None = None,
        **params: Unpack[ChatParams],
    ) -> tuple[str, ...]:
        """Say what of a call would be refused, left out or weakened; nothing is sent.

        What a vendor wants back may depend on whether the model is to think, so give
        ``reasoning`` if :meth:`chat` will be given it; what it refuses depends on the rest.

        Args:
            model: as for :meth:`chat`.
            messages: as for :meth:`chat`.
            reasoning: as for :meth:`chat`.
            protocol: as for :meth:`chat`.
            tools: as for :meth:`chat`.
            params: as for :meth:`chat`.

        Returns:
            The reasons; nothing if none is known.

        Raises:
            CallerError: an argument is wrong.
        """
        options: CheckOptions = {"reasoning": reasoning, "protocol": protocol, "tools": tools}
        return check_call(self._defaults, model, messages, options, params)

    def map(
        self,
        requests: Iterable[_Asked] | AsyncIterable[_Asked],
        *,
        ordered: bool = False,
        at_once: int = 1_000,
        **unknown: Never,
    ) -> Outcomes[_Asked]:
        """Make many calls, as fast as the pool lets them in, and give the outcome of each.

        ::

            prompts = ({"model": "qwen3.6-plus", "messages": line} for line in file)
            async for outcome in gate.map(prompts):
                print(outcome.request["messages"], outcome.reply or outcome.error)

        Args:
            requests: of any length: arguments of :meth:`chat` as dicts, or calls that it made.
                They are taken one by one, no sooner than a call can go.
            ordered: give the outcomes in the order of the requests, and not as they come.
            at_once: how many may be on their way, or done and not taken yet, whatever the pool
                allows.
            unknown: nothing else; a misspelt option is told.

        Raises:
            CallerError: an argument is wrong.
        """
        wrong = not isinstance(at_once, int) or isinstance(at_once, bool) or at_once < 1
        if wrong or unknown:
            hand_over(requests if isinstance(requests, Collection) else ())
            way = "what a call is asked with stands in its request"
            refuse(unknown, self.map, way)
            message = f"expected at_once as a whole number from 1 up, got {at_once!r}"
            raise CallerError(message)

        return _resources.Outcomes(self._asked, requests, ordered=ordered, at_once=at_once)

    def _asked(self, request: ChatCall | Mapping[str, Any]) -> ChatCall:
        if isinstance(request, ChatCall):
            return request
        if not isinstance(request, Mapping) or not {"model", "messages"} <= request.keys():
            raise _resources.unfit(request)
        return self.chat(**request)

    async def models(self) -> tuple[ModelInfo, ...]:
        """List the models that the key may use, with what the catalogue knows of each.

        Raises:
            TokenGateError: see :mod:`aiotokengate.errors`.
        """
        return await _resources.list_models(self._sender, self._defaults)

    async def embed(
        self,
        model: str,
        inputs: EmbeddingInput | Iterable[EmbeddingInput],
        *,
        split: Split | None = None,
        **params: Unpack[EmbeddingParams],
    ) -> Embeddings:
        """Return vectors of texts, in their order.

        ::

            vectors = await gate.embed("text-embedding-3-small", ["你好", "hello"])
            print(len(vectors), vectors[0][:3])

        Args:
            model: such as "text-embedding-3-small".
            inputs: a text or many, each as ``str`` or as a list of its tokens; more than fit into
                one request are sent in several, side by side.
            split: how many inputs and tokens go into a request.
            params: the API's own (``dimensions``, ``user``); and ``timeout``, ``retry``,
                ``deadline``, ``priority``, ``fair_key``, ``extra_headers``, ``extra_body``,
                ``idempotency_key`` as for :meth:`chat`.

        Raises:
            CallerError: an argument is wrong.
            TokenGateError: a request failed.
        """
        self._sender.check_open()
        parts = split or _resources.Split()
        return await _resources.embed(self._sender, self._defaults, model, inputs, params, parts)

    @property
    def images(self) -> ImagesMaker:
        """Makes and edits images."""
        return _resources.ImagesMaker(self._sender, self._defaults)

    @property
    def audio(self) -> Audio:
        """Speaks and listens."""
        return _resources.Audio(self._sender, self._defaults)

    @property
    def _pollers(self) -> Pollers:
        """What asks after jobs, made when there is the first."""
        if self._made_pollers is None:
            self._made_pollers = _resources.Pollers(self._clock)
        return self._made_pollers

    @property
    def videos(self) -> Videos:
        """Makes videos."""
        return _resources.Videos(self._sender, self._defaults, self._pollers)

    @property
    def music(self) -> Music:
        """Makes music."""
        return _resources.Music(self._sender, self._defaults, self._pollers)

    def job(self, id: str, *, deadline: float | None = None, **unknown: Never) -> Job:  # noqa: A002 - as job.id
        """Come back to a job that this session, or another one, has submitted.

        Args:
            id: the ``job.id`` of then.
            deadline: seconds until it must be done, from the first use on.
            unknown: nothing else; a misspelt option is told.

        Raises:
            CallerError: that is no such id.
        """
        refuse(unknown, self.job, "leave it out")
        system, _, rest = id.partition(":") if isinstance(id, str) else ("", "", "")
        words, _, task = rest.partition(":")
        dialect, _, endpoint = words.partition("@")
        if task and system == "video":
            videos = self.videos
            return videos.job(task, dialect=dialect, deadline=deadline, endpoint=endpoint)
        if task and system == "music":
            music = self.music.using(dialect=dialect, deadline=deadline)
            return music.job(task, endpoint=endpoint)
        message = "expected the id of a job, such as 'video:sora:task_1' (job.id)"
        raise CallerError(message)

    def request(  # noqa: PLR0913 - an entry point
        self,
        method: Method,
        path: str,
        *,
        json: Mapping[str, Json] | list[Json] | None = None,
        form: Form | None = None,
        retry: Retry | None = None,
        timeout: Timeout | None = None,
        deadline: float | None = None,
        priority: Priority = "interactive",
        fair_key: str | None = None,
        extra_headers: Mapping[str, str] | None = None,
        costly: bool | None = None,
        idempotency_key: str | bool | None = None,
        **unknown: Never,
    ) -> RawCall:
        """Ask for anything else on the gateway: through the same pool, retries and errors.

        Args:
            method: of HTTP.
            path: ``/rerank`` under ``base_url``, ``../suno/fetch`` beside its ``/v1``; or a whole
                address, which gets the key only if its host is the gateway's.
            json: the body.
            form: a form with files in its place.
            retry: for this call.
            timeout: for this call.
            deadline: seconds for everything together.
            priority: as for :meth:`chat`.
            fair_key: as for :meth:`chat`.
            extra_headers: sent along.
            costly: whether it must not be done twice: it is then sent again only where it
                certainly was not begun; by default so for all methods but GET.
            idempotency_key: as for :meth:`chat`, but one is made by default for what is costly;
                False sends none.
            unknown: nothing else; a misspelt option is told.

        Raises:
            CallerError: an argument is wrong.
        """
        refuse(unknown, self.request, "what is to be sent goes into json={...}")
        self._sender.check_open()
        options = Options(
            timeout=timeout,
            retry=retry,
            deadline=deadline,
            priority=priority,
            fair_key=fair_key,
            extra_headers=extra_headers,
            idempotency_key=idempotency_key,
        )
        body = json if form is None else form
        return _resources.make_raw_call(
            self._sender, self._defaults, method, path, body, options, costly=costly
        )


# --- settings -----------------------------------------------------------------------------------

_ALLOW_PRIVATE = expected("allow_private as a bool, got {got}", instance_of(bool), shown=kind)
_DRAIN = expected("drain in seconds from 0 up, got {got}", FROM_ZERO, FINITE)
_HOOKS = expected(
    "hooks as a list of callables, each of which takes an event", deep_iterable(is_callable())
)
_POOL = expected("pool=Pool(...), got {got}", instance_of(Pool), shown=kind)
_PROXY = expected("proxy as str, got {got}", optional(instance_of(str)), shown=kind)
_SSL = expected(
    "ssl as an SSLContext or a bool, got {got}", instance_of((bool, SSLContext)), shown=kind
)


def _endpoints(api_key: ApiKey | None, endpoints: Sequence[Endpoint] | None) -> Sequence[Endpoint]:
    if endpoints is None:
        return (Endpoint(api_key=api_key if callable(api_key) else _key(api_key)),)
    if api_key is not None:
        message = "expected api_key or endpoints, got both"
        raise CallerError(message)
    if isinstance(endpoints, str) or not all(isinstance(entry, Endpoint) for entry in endpoints):
        message = "expected endpoints as a list of Endpoint(api_key=...)"
        raise CallerError(message)
    if not endpoints:
        message = "expected at least one Endpoint, got none"
        raise CallerError(message)
    return endpoints


def _key(api_key: str | None) -> str:
    if api_key is not None and not isinstance(api_key, str):
        message = f"expected api_key as str or callable, got {type(api_key).__name__}"
        raise CallerError(message)
    key = checked_key(os.environ.get("TOKENGATE_API_KEY", "") if api_key is None else api_key)
    if not key:
        raise CallerError(_NO_KEY)
    return key


def _address(base_url: str | None, default: str = "") -> str:
    if base_url is not None and not isinstance(base_url, str):
        message = f"expected base_url as str, got {type(base_url).__name__}"
        raise CallerError(message)
    address = stripped(base_url or "") or default
    address = address or stripped(os.environ.get("TOKENGATE_BASE_URL", "")) or DEFAULT_BASE_URL
    if "@" in address.partition("://")[2].partition("/")[0]:  # not shown: it may be a password
        message = "expected base_url without a user name or password"
        raise CallerError(message)
    if not address.startswith(("http://", "https://")):
        message = f"expected base_url to begin with http:// or https://, got {address!r}"
        raise CallerError(message)
    try:
        parts = urlsplit(address)
        _ = parts.port  # parsed only when asked for
    except ValueError as error:
        message = f"expected base_url to be an address, got {address!r}: {error}"
        raise CallerError(message) from None
    if not parts.hostname:
        message = f"expected base_url to name a host, got {address!r}"
        raise CallerError(message)
    if "?" in address or "#" in address:
        message = f"expected base_url to end in a path such as /v1, got {address!r}"
        raise CallerError(message)
    while address.endswith("/"):
        address = stripped(address[:-1])
    if not address.isprintable() or " " in address:
        message = f"expected base_url without blanks or invisible characters, got {address!r}"
        raise CallerError(message)
    return address


def _headers(key: str, extra: Mapping[str, str]) -> Mapping[str, str]:
    return {
        **({"Authorization": f"Bearer {key}"} if key else {}),
        "Content-Type": "application/json",
        "Accept": "text/event-stream, application/json",
        "Accept-Encoding": "identity",
        "User-Agent": "aiotokengate",
        **extra,
    }


def _network(
    *, proxy: str | None, ssl: SSLContext | bool, allow_private: bool
) -> tuple[Ways, Trust]:
    """Check how the network is used; nothing is opened."""
    try:
        checked(proxy, _PROXY)
        checked(ssl, _SSL)
        checked(allow_private, _ALLOW_PRIVATE)  # "false" is true, too
        return Ways.of(proxy), Trust(ssl)
    finally:
        del proxy
