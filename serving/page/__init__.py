"""The page at `/`, made with NiceGUI, one file a view. Nothing here is imported before somebody who is signed in opens it.

A view calls what the routes call, as whom the cookie says; it decides nothing about rights by itself. Whatever a model, a
document or a caller wrote reaches the browser as text, never as HTML.
"""
