#include "io/contact_sheet.h"

#include "io/html.h"

static const char head[] =
    "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<style>\n"
    ":root { color-scheme: light dark; --back: #fff; --text: #1c1e21; --soft: #5f6670; --line: #d8dce1; --mark: #0b62c4; }\n"
    "@media (prefers-color-scheme: dark) { :root { --back: #16181b; --text: #e7e9ec; --soft: #a0a7b0; --line: #353a41; --mark: #6cb0ff; } }\n"
    "body { margin: 0 auto; max-width: 76rem; padding: 1rem; background: var(--back); color: var(--text); font: 16px/1.4 system-ui, sans-serif; }\n"
    "h1 { font-size: 1.4rem; margin: 0 0 .2rem; overflow-wrap: anywhere; }\n"
    "h2 { font-size: 1rem; margin: 0 0 .5rem; overflow-wrap: anywhere; }\n"
    "p { color: var(--soft); margin: 0 0 .5rem; overflow-wrap: anywhere; }\n"
    "section { border-top: 1px solid var(--line); padding: .8rem 0; }\n"
    "ul { display: grid; grid-template-columns: repeat(auto-fill, minmax(6.5rem, 1fr)); gap: .7rem; list-style: none; margin: 0; padding: 0; }\n"
    "img, .none { display: block; width: 100%; aspect-ratio: 1; border-radius: 4px; box-sizing: border-box; }\n"
    ".none { border: 1px dashed var(--line); color: var(--soft); padding: .5rem; font-size: .8rem; }\n"
    ".marked img { outline: 3px solid var(--mark); outline-offset: -3px; }\n"
    "b { display: block; font-size: .85rem; font-variant-numeric: tabular-nums; margin-top: .2rem; }\n"
    ".marked b { color: var(--mark); }\n"
    "small { display: block; color: var(--soft); font-size: .75rem; overflow-wrap: anywhere; }\n"
    "</style>\n";

void sheet_begin(struct buffer *page, const char *title, const char *summary)
{
    buffer_add(page, head, sizeof head - 1);
    html_element(page, "title", title);
    html_element(page, "h1", title);
    html_element(page, "p", summary);
}

void sheet_row(struct buffer *page, const char *heading)
{
    buffer_format(page, "<section>\n");
    html_element(page, "h2", heading);
    buffer_format(page, "<ul>\n");
}

void sheet_cell(struct buffer *page, const struct buffer *jpeg, const char *name, const char *caption, bool marked)
{
    buffer_format(page, marked ? "<li class=\"marked\">" : "<li>");
    if (jpeg->size > 0) {
        buffer_format(page, "<img alt=\"\" src=\"");
        html_data_uri(page, "image/jpeg", jpeg);
        buffer_format(page, "\">");
    } else
        buffer_format(page, "<span class=\"none\">cannot be shown</span>");
    if (caption)
        html_element(page, "b", caption);
    if (name)
        html_element(page, "small", name);
    buffer_format(page, "</li>\n");
}

void sheet_row_end(struct buffer *page, const char *note)
{
    buffer_format(page, "</ul>\n");
    if (note)
        html_element(page, "p", note);
    buffer_format(page, "</section>\n");
}

void sheet_end(struct buffer *page)
{
    buffer_format(page, "</html>\n");
}
