"""The page at `/`, made with NiceGUI, one file per view. It is imported when a signed-in person first opens it.

Views call the functions of the routes, with the person of the cookie; they decide nothing about rights. Text of models,
documents and callers reaches the browser as text, never as HTML.
"""

from foundation.extensions import Extension

extension = Extension(
    about="The page that people open in the browser: questions, sources, approvals, documents, plots.",
    requires=("feedback", "jobs", "reports"),
    extra="page",
    settings="extensions.page.settings:PageSettings",
    plug="extensions.page.plug:plug",
)
