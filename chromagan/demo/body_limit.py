"""A limit on the size of requests other than uploads: Gradio keeps the texts of a request in memory for hours."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

UPLOAD = "/gradio_api/upload"  # ending of the path with Gradio's own limit, that of files
ASSISTANT = ("/mcp", "/mcp/")  # endings of those on which a photo may come as text
MOST_OF_ASSISTANT = 70 << 20  # a photo of 50 MB in base64


class BodyLimit:
    """ASGI middleware that answers 413 to a request whose body has more than `most` bytes."""

    def __init__(self, app: ASGIApp, most: int):
        self.app, self.most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].endswith(UPLOAD):
            await self.app(scope, receive, send)
            return
        most = MOST_OF_ASSISTANT if scope["path"].endswith(ASSISTANT) else self.most
        received = 0

        async def receive_some() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > most:
                while message.get("more_body"):  # a client that is cut off while it sends would not see the answer
                    message = await receive()
                raise HTTPException(413, f"a request has at most {most:,} bytes; upload photos first")
            return message

        await self.app(scope, receive_some, send)
