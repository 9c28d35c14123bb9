"""Every page, on one page. Fixed addresses stand before those with places in them."""

from starlette.routing import Route

from web.pages import (
    account,
    admin,
    files,
    home,
    links,
    live,
    login,
    notifications,
    people,
    posts,
    search,
    spaces,
)
from web.pages.visits import page

POST = ("POST",)


def routes() -> list[Route]:
    """The addresses of the pages, in the order in which they are tried."""
    return [
        page("/", home.home),
        page("/login", login.form),
        page("/login", login.enter, POST),
        page("/login/once/{token}", login.once),
        page("/login/once/{token}", login.enter_once, POST),
        page("/logout", login.leave, POST),
        page("/posts", posts.publish, POST),
        page("/posts/new", posts.compose),
        page("/posts/{id}", posts.thread),
        page("/posts/{id}/audience", posts.who_sees),
        page("/posts/{id}/edit", posts.edit_form),
        page("/posts/{id}/edit", posts.edit, POST),
        page("/posts/{id}/withdraw", posts.withdraw, POST),
        page("/posts/{id}/react", posts.react, POST),
        page("/spaces", spaces.listed),
        page("/spaces", spaces.open_space, POST),
        page("/spaces/{slug}", spaces.show),
        page("/spaces/{slug}/about", spaces.about),
        page("/spaces/{slug}/openness", spaces.openness),
        page("/spaces/{slug}/members", spaces.members),
        page("/spaces/{slug}/members", spaces.add, POST),
        page("/spaces/{slug}/members/{id}/remove", spaces.remove, POST),
        page("/spaces/{slug}/join", spaces.join, POST),
        page("/spaces/{slug}/leave", spaces.leave, POST),
        page("/people", people.listed),
        page("/@{name}", people.show),
        page("/@{name}/follow", people.follow, POST),
        page("/@{name}/unfollow", people.unfollow, POST),
        page("/notifications", notifications.listed),
        page("/notifications/read", notifications.read, POST),
        page("/search", search.results),
        page("/settings", account.settings),
        page("/settings", account.save, POST),
        page("/settings/password", account.password, POST),
        page("/settings/sessions/{id}/end", account.end_session, POST),
        page("/settings/tokens", account.new_token, POST),
        page("/settings/tokens/{id}/revoke", account.revoke_token, POST),
        page("/admin/links", links.listed),
        page("/admin/links", links.offer, POST),
        page("/admin/links/{host}/{step}", links.step, POST),
        page("/admin", admin.overview),
        page("/admin/people", admin.people),
        page("/admin/people", admin.add, POST),
        page("/admin/people/{name}/link", admin.link, POST),
        page("/admin/people/{name}/suspend", admin.suspend, POST),
        page("/admin/people/{name}/reinstate", admin.reinstate, POST),
        page("/admin/deliveries", admin.told),
        page("/admin/audit", admin.deeds),
        Route("/live", live.stream, name="live"),
        Route("/media/{id}/{name:path}", files.media, name="media"),
    ]
