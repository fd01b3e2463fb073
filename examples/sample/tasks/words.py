"""grid invoke words -d '{"text": "to be or not to be"}'"""
from collections import Counter


def handler(event, context):
    text = event.get("text", "") if isinstance(event, dict) else str(event or "")
    counted = Counter(text.lower().split())
    return {"words": sum(counted.values()), "most_common": counted.most_common(3)}
