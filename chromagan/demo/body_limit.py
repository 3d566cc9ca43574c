"""A limit on the size of requests other than uploads: Gradio keeps the texts of a request in memory for hours."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

UPLOADS = ("/upload", "/mcp", "/mcp/")  # endings of paths with a limit of their own; an assistant sends a photo as text


class BodyLimit:
    """ASGI middleware that answers 413 to a request whose body has more than `most` bytes."""

    def __init__(self, app: ASGIApp, most: int):
        self.app, self.most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].endswith(UPLOADS):
            await self.app(scope, receive, send)
            return
        received = 0

        async def receive_some() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.most:
                raise HTTPException(413, f"a request has at most {self.most:,} bytes; upload photos first")
            return message

        await self.app(scope, receive_some, send)
