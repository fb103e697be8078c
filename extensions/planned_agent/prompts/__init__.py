"""What a chat model is told that plans, or writes from quotes, and the fixed texts of what is not answered."""

from pathlib import Path

FOLDER = Path(__file__).parent
