"""Golden cases that are proposed, from documents and from what people said of answers, and that a person lets in or not."""
