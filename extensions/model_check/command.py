"""`model-check`: what the configured chat model can do, and how the system handles the rest."""

import asyncio
from dataclasses import asdict

from serving.cli import terminal
from serving.cli.options import STACK, Json, Stack, exit_unless, load_stack


def model_check(json: Json = None, stack: Stack = STACK) -> None:
    """Test what the chat model can do, in eleven calls. Says what it can (tools and their results, streams, length, schema, usage), what its provider answered, and what to write into stack.toml."""
    from langchain_core.language_models import BaseChatModel
    from rich.text import Text

    from extensions.model_check.abilities import profile_line, try_abilities
    from models.pricing import identity
    from serving.cli.opening import open_parts

    settings = load_stack(stack).settings
    with open_parts(settings) as parts:
        model = parts.part("models.chat", settings.models.chat, BaseChatModel)
        name = identity(model)[1]
        profile = model.profile or {}
        with terminal.progress() as progress:
            abilities = asyncio.run(try_abilities(model, progress))
    window = profile.get("max_input_tokens")
    line = profile_line(abilities, window) if abilities[0].can else None
    report = {"abilities": [asdict(ability) for ability in abilities], "line": line}
    if not terminal.write_json(json, {"model": name, "profile": dict(profile), **report}):
        rows = [("yes" if it.can else "no", it.name, it.found, it.consequence) for it in abilities]
        terminal.show_table([name, "", "what it did", "so"], rows)
        terminal.show(f"It reads {window:,} tokens." if window else "How much it reads is unknown: 32,000 are assumed.")
        if line:
            terminal.show(Text(f"Write below [models.chat], or in place of its profile:  {line}"))
    exit_unless(ok=abilities[0].can)
