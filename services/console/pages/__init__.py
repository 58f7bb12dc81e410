"""One module per page. Each asks the services, and shows what they say."""

from __future__ import annotations

from services.console.pages import annotation, authoring, chat, datasets, entrance, home, review, runs, studies

PAGES = (
    entrance.router,
    home.router,
    review.router,
    authoring.router,
    datasets.router,
    runs.router,
    chat.router,
    annotation.router,
    studies.router,
)
