"""A photographed letter in German, asked in English: OCR, an embedder of many languages, and a citation that marks its place on the picture."""
