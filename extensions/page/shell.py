"""The frame of every view: the bar with the menu, the signed-in person, light and dark."""

from functools import partial
from pathlib import Path

from fastapi import Request
from nicegui import Client, html, ui

from extensions.page.brand import colours, logo_address
from extensions.page.session import View, Visitor, show_errors
from extensions.page.sessions import MOST_PAGES, token_of
from extensions.page.settings import brand_of
from extensions.page.views.approvals import ApprovalsView
from extensions.page.views.ask import AskView
from extensions.page.views.dashboard import LiveView
from extensions.page.views.documents import DocumentsView
from extensions.page.views.source import SourcePanel
from foundation.types import Principal

LOOK = Path(__file__).with_name("look.css").read_text(encoding="utf-8")
ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><rect width="24" height="24" rx="6" fill="#2457c5"/>'
    '<path d="M5 8h14M5 12h14M5 16h14" stroke="#fff" stroke-width="2" stroke-linecap="round"/></svg>'
)
# A restarted server has no sessions and refuses the connection, and NiceGUI would retry for ever
SIGN_IN_AGAIN = """<script>setInterval(() => window.socket && !window.socket.connected && fetch("/_nicegui/signed-in").then(
  found => found.status === 401 && location.reload(), () => null), 2000)</script>"""
# Without this, the browser's back button would leave the page instead of going back to the view before
GO_BACK = """<script>(() => {
  const entries = () => [...document.querySelectorAll(".menu button")];
  addEventListener("click", click => {
    const place = entries().indexOf(click.target.closest("button"));
    if (place >= 0 && click.isTrusted) history.pushState(place, "");
  });
  addEventListener("popstate", gone => entries()[gone.state ?? 0]?.click());
})()</script>"""
# Shown until the page is there and connected, in the colours that it will have
LOADING = """<style>
  .loading { position: fixed; inset: 0; background: light-dark(#f6f7f9, #14171c); color: light-dark(#5c6470, #9aa3b0);
             color-scheme: light dark; display: grid; place-items: center; font: 0.9375rem/1.5 system-ui, sans-serif; }
  .loading::before { content: ""; position: absolute; inset: 0 0 auto; height: 3.25rem; background: light-dark(#fff, #1b1f26);
                     border-bottom: 1px solid light-dark(#e1e5ea, #2f3641); }
  #esm-fallback { display: none !important; }
  body:has(.asking) > .loading { display: none; }
</style><div class="loading" role="status">Loading…</div><script>{
  const chosen = document.cookie.match(/sixply_dark=(yes|no)/);
  if (chosen) document.querySelector(".loading").style.colorScheme = chosen[1] === "yes" ? "dark" : "light";
}</script>"""
# the choice of light or dark; without this cookie the page follows the system
DARK = "sixply_dark"


def define() -> None:
    """Register the page with NiceGUI."""
    ui.page("/")(page)


def page(request: Request) -> None:
    """Build the page for the signed-in person; extensions/page/routes.py has checked them."""
    make_room(request.state.principal)
    visitor = Visitor(request.state.runtime, token_of(request), request.state.principal)
    ui.add_css(LOOK + colours(brand_of(request.state.runtime.system), dark=".body--dark {}"))
    ui.add_head_html(SIGN_IN_AGAIN + GO_BACK)
    ui.add_body_html(LOADING)
    ui.colors(primary="var(--mark)", negative="var(--bad)")
    Shell(visitor, dark=request.cookies.get(DARK), shared=request.query_params.get("shared", "")).build()


def make_room(principal: Principal) -> None:
    """Delete a person's oldest pages without a browser, before one more is made."""
    # each takes 0.3 MB, and one to which nobody connects would stay for a minute
    theirs = (it for it in Client.instances.values() if getattr(it.request.state, "principal", None) == principal)
    for client in [client for client in theirs if not client.has_socket_connection][:-MOST_PAGES]:
        client.delete()


class Shell:
    """The whole page of one visitor."""

    def __init__(self, visitor: Visitor, *, dark: str | None, shared: str) -> None:
        self._visitor = visitor
        self._dark = ui.dark_mode({"yes": True, "no": False}.get(dark or ""))
        self._source = SourcePanel(visitor)
        self._views: list[tuple[str, str, View]] = [
            ("Ask", "forum", AskView(visitor, self._source, shared)),
            ("Documents", "description", DocumentsView(visitor, self._source)),
            ("Approvals", "task_alt", ApprovalsView(visitor)),
            ("Live", "insights", LiveView(visitor)),
        ]
        self._built: set[int] = set()
        self._brand = brand_of(visitor.runtime.system)
        self._buttons: list[ui.button] = []
        self._places: list[ui.element] = []

    def build(self) -> None:
        with html.header().classes("bar"):
            with html.span().classes("brand"):
                if logo := logo_address(self._brand):
                    html.img(src=logo, alt="")
                html.span(self._brand.name)
            with html.nav().props('aria-label="Views"').classes("menu"):
                for number, (label, icon, _) in enumerate(self._views):
                    button = ui.button(label, icon=icon, on_click=partial(self._show, number), color=None)
                    self._buttons.append(button.props("flat no-caps dense").classes("entry"))
            self._who()
        with html.div().classes("views"):
            for label, _, _ in self._views:
                place = html.section().classes("view")
                place.props["aria-label"] = label
                self._places.append(place)
        self._source.build()
        ui.timer(0, self._open, once=True)

    async def _open(self) -> None:
        await self._visitor.ask_zone()
        await self._show(0)

    def _who(self) -> None:
        seen = self._visitor.seen
        with html.div().classes("who"):
            with html.span().classes("name"):
                html.b(seen.subject)
                html.span(f"{seen.tenant} · {', '.join(sorted(seen.roles))}")
            switch = ui.button(icon="contrast", on_click=self._switch, color=None).classes("quiet")
            switch.props('flat round dense aria-label="Light or dark"')
            with html.form().props('method="post" action="/sign-out"'):
                ui.button("Sign out", color=None).props("flat dense no-caps type=submit").classes("quiet")

    def _switch(self) -> None:
        ui.run_javascript(
            f"const dark = !Quasar.Dark.isActive; Quasar.Dark.set(dark);"
            f'document.cookie = "{DARK}=" + (dark ? "yes" : "no") + "; path=/; max-age=31536000; samesite=strict";'
        )

    async def _show(self, number: int) -> None:
        for place, (button, section) in enumerate(zip(self._buttons, self._places, strict=True)):
            section.set_visibility(place == number)
            button.props["aria-current"] = "page" if place == number else "false"
        label, _, view = self._views[number]
        self._visitor.looks_at = view
        ui.page_title(f"{label} · {self._brand.name}")
        with self._places[number], show_errors():
            if number not in self._built:
                self._built.add(number)
                view.build()
            await view.refresh()
