"""The Model Context Protocol: tools for language models, over HTTP at ``/mcp`` and over stdio.

texts   texts of models as data: short, without hidden characters
tools   the tools: their parameters, and the requests to the API that answer them
server  the protocol, by the official SDK (the extra ``mcp``)

Only what uses the protocol imports ``server``.
"""
