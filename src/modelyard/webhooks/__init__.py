"""Webhooks: a team's server is told of changes of the models that the team may see (Standard Webhooks).

    webhooks    what people do with webhooks: create, list, delete, test, replay, rotate, enable
    planner     changes of the catalogue → rows of deliveries, in one transaction with the place of each webhook
    sender      rows of deliveries → signed requests, one after the other for each webhook
    signature   secrets and signatures
    messages    the body of a message
    filters     which models a webhook is told of

A message is sent at least once. All attempts have the same webhook-id.
"""
