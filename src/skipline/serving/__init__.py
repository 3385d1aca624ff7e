"""A bundle behind HTTP: predictions, heat maps, the Open Inference Protocol and a page for people.

Nothing here imports the web framework until a server is made, so that the rest of skipline works without the extra.
"""

from skipline.serving.answering import answerer
from skipline.serving.heat import heat_map
from skipline.serving.limits import Limits
from skipline.serving.running import Settings, serve
from skipline.serving.tokens import read_token

__all__ = ["Limits", "Settings", "answerer", "heat_map", "read_token", "serve"]
