"""Holds scripts of PowerShell against its grammar, and prints a line for each place that does not fit.

    python powershell.py FILE...
"""
import sys

import tree_sitter
import tree_sitter_powershell


def faults(path):
    with open(path, "rb") as file:
        text = file.read()
    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_powershell.language()))
    nodes = [parser.parse(text).root_node]
    while nodes:
        node = nodes.pop()
        if node.type == "ERROR" or node.is_missing:
            yield f"{path}:{node.start_point[0] + 1}: {text[node.start_byte:node.end_byte][:80]!r}"
        elif node.has_error:
            nodes.extend(node.children)


found = [fault for path in sys.argv[1:] for fault in faults(path)]
print("\n".join(found))
sys.exit(1 if found else 0)
