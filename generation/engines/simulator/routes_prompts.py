"""Prompts: handing them in, watching, reordering and stopping them."""

import asyncio
import functools
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from generation.engines.simulator.job_listing import BadListing, Listing, find_job, list_jobs
from generation.engines.simulator.prompt_queue import DuplicateEntry, QueuedPrompt
from generation.engines.simulator.replies import BodyUnreadable, internal_error, read_json, read_object
from generation.engines.simulator.server import Server
from generation.engines.simulator.validation import validate

NO_PROMPT = {"type": "no_prompt", "message": "No prompt provided", "details": "No prompt provided", "extra_info": {}}
BAD_PROMPT_ID = {
    "type": "invalid_prompt_id",
    "message": "prompt_id must be a valid UUID",
    "details": "prompt_id must be a UUID string in canonical lowercase hyphenated form; "
    "omit it to let the server generate one",
    "extra_info": {},
}

Handler = Callable[["PromptRoutes", web.Request], Awaitable[web.Response]]


def _failing_like_the_real_one(handler: Handler) -> Handler:
    """Answer a bare 500 where the real server's handler would have crashed on the body."""

    @functools.wraps(handler)
    async def guarded(routes: "PromptRoutes", request: web.Request) -> web.Response:
        try:
            return await handler(routes, request)
        except (BodyUnreadable, DuplicateEntry):
            return internal_error()

    return guarded


class PromptRoutes:
    def __init__(self, server: Server) -> None:
        self._server = server

    def table(self) -> list[web.RouteDef]:
        return [
            web.post("/prompt", self.submit),
            web.get("/prompt", self.show_remaining),
            web.get("/queue", self.show_queue),
            web.post("/queue", self.change_queue),
            web.get("/history", self.show_history),
            web.get("/history/{prompt_id}", self.show_history_entry),
            web.post("/history", self.change_history),
            web.post("/interrupt", self.interrupt),
            web.post("/free", self.free),
        ]

    def api_only_table(self) -> list[web.RouteDef]:
        return [web.get("/api/jobs", self.list_jobs), web.get("/api/jobs/{prompt_id}", self.show_job)]

    @_failing_like_the_real_one
    async def submit(self, request: web.Request) -> web.Response:
        body = await read_json(request)
        if not isinstance(body, (dict, list)):
            raise BodyUnreadable
        content = body if isinstance(body, dict) else {}
        number = self._number(content)
        if "prompt" not in content:
            return _refusal(NO_PROMPT, {})
        if self._server.release.wants_uuids and not _is_uuid(content.get("prompt_id")):
            return _refusal(BAD_PROMPT_ID, {})
        verdict = self._validate(content)
        if verdict.error is not None:
            return _refusal(verdict.error, verdict.node_errors)
        prompt = _queued_prompt(content, number, verdict.outputs, is_id_free=not self._server.release.wants_uuids)
        if not self._server.faults.take("lose-prompt"):
            self._server.queue.put(prompt)
        await asyncio.sleep(self._server.faults.seconds("late-reply"))
        answer = {"prompt_id": prompt.prompt_id, "number": number, "node_errors": verdict.node_errors}
        return web.json_response(answer)

    def _number(self, content: dict[str, Any]) -> float:
        """An explicit number does not advance the count; every other request does, invalid ones included."""
        if "number" not in content:
            return self._server.queue.draw_number(is_front=bool(content.get("front")))
        try:
            return float(content["number"])
        except (TypeError, ValueError) as exc:
            raise BodyUnreadable from exc

    def _validate(self, content: dict[str, Any]) -> Any:
        try:
            return validate(
                content["prompt"],
                self._server.folders,
                inventory=self._server.inventory,
                release=self._server.release,
                targets=content.get("partial_execution_targets"),
            )
        except (TypeError, AttributeError) as exc:
            raise BodyUnreadable from exc

    async def show_remaining(self, _: web.Request) -> web.Response:
        return web.json_response({"exec_info": {"queue_remaining": self._server.queue.remaining()}})

    async def show_queue(self, _: web.Request) -> web.Response:
        running, waiting = self._server.queue.snapshot()
        return web.json_response(
            {
                "queue_running": [prompt.as_item() for prompt in running],
                "queue_pending": [prompt.as_item() for prompt in waiting],
            }
        )

    @_failing_like_the_real_one
    async def change_queue(self, request: web.Request) -> web.Response:
        wanted = await read_object(request)
        if wanted.get("clear"):
            self._server.queue.clear()
        self._server.queue.delete(wanted.get("delete", ()))
        return web.Response()

    async def show_history(self, request: web.Request) -> web.Response:
        try:
            limit = int(request.query["max_items"]) if "max_items" in request.query else None
            offset = int(request.query.get("offset", -1))
        except ValueError:
            return internal_error()
        return web.json_response(self._server.history.page(limit, offset))

    async def show_history_entry(self, request: web.Request) -> web.Response:
        return web.json_response(self._server.history.one(request.match_info["prompt_id"]))

    @_failing_like_the_real_one
    async def change_history(self, request: web.Request) -> web.Response:
        wanted = await read_object(request)
        if wanted.get("clear"):
            self._server.history.clear()
        self._server.history.delete(wanted.get("delete", ()))
        return web.Response()

    async def interrupt(self, request: web.Request) -> web.Response:
        try:
            wanted = await read_object(request)
        except BodyUnreadable:
            wanted = {}
        self._server.worker.interrupt(wanted.get("prompt_id") or None)
        return web.Response()

    @_failing_like_the_real_one
    async def free(self, request: web.Request) -> web.Response:
        wanted = await read_object(request)
        flags = {name: True for name in ("unload_models", "free_memory") if wanted.get(name)}
        self._server.queue.ask_to_free(flags)
        return web.Response()

    async def list_jobs(self, request: web.Request) -> web.Response:
        try:
            listing = Listing.from_query(request.query, self._server.release)
        except BadListing as exc:
            return web.json_response({"error": str(exc)}, status=400)
        return web.json_response(list_jobs(self._server.queue, self._server.history, listing, self._server.release))

    async def show_job(self, request: web.Request) -> web.Response:
        job = find_job(
            self._server.queue, self._server.history, request.match_info["prompt_id"], release=self._server.release
        )
        if job is None:
            return web.json_response({"error": "Job not found"}, status=404)
        return web.json_response(job)


def _refusal(error: dict[str, Any], node_errors: dict[str, Any]) -> web.Response:
    return web.json_response({"error": error, "node_errors": node_errors}, status=400)


def _is_uuid(given: object) -> bool:
    """Null counts as none given."""
    try:
        return given is None or str(uuid.UUID(str(given))) == given
    except ValueError:
        return False


def _queued_prompt(content: dict[str, Any], number: float, outputs: list[str], *, is_id_free: bool) -> QueuedPrompt:
    """Where any id is taken, it is made text: 12345 becomes "12345", null becomes "None"."""
    made = str(uuid.uuid4())
    given = content.get("prompt_id", made)
    extra_data = dict(content.get("extra_data") or {})
    if "client_id" in content:
        extra_data["client_id"] = content["client_id"]
    return QueuedPrompt(
        number=number,
        prompt_id=str(given) if is_id_free else given or made,
        graph=content["prompt"],
        extra_data=extra_data,
        outputs=outputs,
    )
