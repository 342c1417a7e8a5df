"""How the tools and files of a node are reached: on the worker itself, by SSH, by exec into a pod."""
