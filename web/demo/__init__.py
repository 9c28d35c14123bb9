"""`parvis demo`: two linked instances with people in them, to look around and to try things on.

`companies` and `conversations` are what is there, as data; `teller` writes it through the verbs that pages and API use;
`supervisor` starts and ends the processes; `folder` is where they live.
"""
