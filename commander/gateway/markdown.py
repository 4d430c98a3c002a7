"""Markdown of a briefing as HTML for the dashboard. A briefing is other people's text: none of its
own HTML is let through, and what is rendered is sanitised as well."""

import nh3
from markdown_it import MarkdownIt

_TAGS = set(
    "a p br hr h1 h2 h3 h4 h5 h6 ul ol li blockquote pre code em strong del"
    " table thead tbody tr th td".split()
)
_ATTRIBUTES = {"a": {"href", "title"}, "code": {"class"}, "ol": {"start"}}

_markdown = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable("table")


def to_html(text: str) -> str:
    """HTML without scripts, handlers or pictures; links lead only to http, https and mailto."""
    return nh3.clean(
        _markdown.render(text),
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )
