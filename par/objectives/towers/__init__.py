"""Networks whose task is one of a tower: the label of a document, another network's states."""
