"""Compose, thread, edit, withdraw, react, vote, and who sees it."""

from dataclasses import replace

from starlette.responses import Response

from server.actions import gestures, polls, posts
from server.errors import Conflict, Forbidden, Invalid, TooLarge
from server.limits import SOURCE_BYTES
from server.policy import Act
from server.queries import explanations, threads
from server.queries import posts as asked
from web.pages import composing, describing, explaining, showing
from web.pages.composing import Written
from web.pages.describing import Described
from web.pages.visits import MOST_FIELDS, MOST_FILES, Visit, inside, see

EMOJI_CHARACTERS = 32


async def compose(visit: Visit) -> Response:
    """`GET /posts/new`: the composer on a page of its own; `?part=audience&where=`: who would see it there."""
    if visit.part == "audience":
        return await showing.audience_there(visit, visit.query("where"))
    wrote = Written(text=visit.query("text"), where=visit.query("where"), key=composing.new_key())
    return await showing.composer(visit, wrote)


async def publish(visit: Visit) -> Response:
    """`POST /posts`: publishes, or shows again what was typed and says why not."""
    viewer, form = visit.me, await visit.form(MOST_FIELDS + MOST_FILES)
    wrote = composing.written(form.as_typed())
    try:
        wrote = replace(wrote, kept=(*wrote.kept, *await composing.bring(visit, form.files("files"))))
        composing.written(form)
        post_id = await posts.publish(viewer, await composing.draft(visit, wrote), visit.here)
    except (Invalid, TooLarge, Forbidden, Conflict) as refused:
        return await showing.composer(visit, wrote, refused)
    if visit.wants_fragment:
        return await showing.card(visit, post_id)
    return see(f"{inside(form.as_typed().line('back'), f'/posts/{post_id}')}#post-{post_id}")


async def thread(visit: Visit) -> Response:
    """`/posts/{id}`: a post with what it answers and what answers it; `?part=card`, `?part=audience`."""
    post_id = visit.id()
    if visit.part == "card":
        return await showing.card(visit, post_id)
    if visit.part == "audience":
        return await who_sees(visit)
    return await showing.thread(visit, await threads.around(visit.viewer, post_id))


async def who_sees(visit: Visit) -> Response:
    """« Qui voit ceci ? », in sentences and numbers."""
    post = await asked.find(visit.viewer, visit.id())
    return await explaining.told_of(visit, explanations.of_post(post))


async def share(visit: Visit) -> Response:
    """`/posts/{id}/share`: the address to copy, which carries no right, and who can open it."""
    return await showing.share(visit, await asked.find(visit.viewer, visit.id()))


async def edit_form(visit: Visit) -> Response:
    """`GET /posts/{id}/edit`."""
    post = await asked.find(visit.me, visit.id())
    post.demand(visit.me, Act.EDIT_POST)
    return await showing.editor(visit, post, post.source, Described())


async def edit(visit: Visit) -> Response:
    """`POST /posts/{id}/edit`."""
    post_id, form = visit.id(), await visit.form()
    post = await asked.find(visit.me, post_id)
    try:
        text, said = form.text("text", SOURCE_BYTES), describing.described(form)
        files = [file.id for file in await showing.files_of(visit, post)]
        await posts.edit(visit.me, post_id, text, visit.here, described=said.of(files))
    except (Invalid, TooLarge) as refused:
        typed = form.as_typed()
        return await showing.editor(visit, post, typed.text("text"), describing.described(typed), refused)
    if visit.wants_fragment:
        return await showing.card(visit, post_id)
    return see(f"/posts/{post_id}")


async def withdraw(visit: Visit) -> Response:
    """`POST /posts/{id}/withdraw`: then to the thread it stood in, or back to its space."""
    post = await asked.find(visit.me, visit.id())
    await posts.withdraw(visit.me, post.id)
    if visit.wants_fragment:
        return Response()
    if post.reply_to_id:
        return see(f"/posts/{post.reply_to_id}")
    return see(f"/spaces/{post.space.slug}" if post.space else "/")


async def vote(visit: Visit) -> Response:
    """`POST /posts/{id}/vote`: a vote, or the poll again and why not."""
    post_id, form = visit.id(), await visit.form()
    try:
        await polls.vote(visit.me, post_id, [int(text) for text in form.lines("choice", 20, 4) if text.isdecimal()])
    except (Invalid, Forbidden, Conflict) as refused:
        if visit.wants_fragment:
            return await showing.card(visit, post_id, refused)
        return await showing.thread(visit, await threads.around(visit.viewer, post_id), refused)
    if visit.wants_fragment:
        return await showing.card(visit, post_id)
    return see(f"{inside(form.line('back'), f'/posts/{post_id}')}#post-{post_id}")


async def react(visit: Visit) -> Response:
    """`POST /posts/{id}/react`: a gesture, or with `undo` the gesture taken back."""
    post_id, form = visit.id(), await visit.form()
    verb = gestures.unreact if form.has("undo") else gestures.react
    await verb(visit.me, post_id, form.line("emoji", EMOJI_CHARACTERS))
    if visit.wants_fragment:
        return await showing.card(visit, post_id)
    return see(f"{inside(form.as_typed().line('back'), f'/posts/{post_id}')}#post-{post_id}")
