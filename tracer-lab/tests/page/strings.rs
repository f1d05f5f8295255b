//! Whatever the strings that reach the page say, they stay text, also without the headers that would protect it.

use anyhow::Result;
use tracer_lab::privilege::require_root;

use crate::browser::Browser;
use crate::recorded::told_again;

/// Would each leave a mark if it became more than text.
const HOSTILE: &str = r#""'></code></dd></table></template><img src=x onerror="mark=1"><script>mark=1</script><svg onload="mark=1"><a href="javascript:mark=1">{{constructor.constructor('mark=1')()}}${mark=1}&lt;__proto__"#;

#[test]
fn hostile_strings_stay_text() -> Result<()> {
    if !require_root("page") {
        return Ok(());
    }
    let stand_in = told_again(1, |_| HOSTILE.to_owned())?;
    let browser = Browser::start()?;
    browser.open(stand_in.port)?;
    browser
        .until("document.querySelector('#advice article') && document.querySelector('#incidents tbody')")?;
    browser.run("document.querySelectorAll('details').forEach((details) => { details.open = true; })")?;
    browser
        .run("document.querySelectorAll('#incidents tbody button').forEach((button) => button.click())")?;
    browser.until("document.querySelector('.unfolded').checkVisibility()")?;

    let text = browser.text()?;
    // Advice: server, kind, text; in each list of servers; in each field of an incident.
    let shown = text.matches(HOSTILE).count();
    assert!(shown > 20, "{shown} times in: {text}");
    let grown =
        "return [document.images.length, document.scripts.length, document.querySelectorAll('svg').length,
        document.querySelectorAll('a[href^=javascript]').length, typeof mark]";
    assert_eq!(browser.run(grown)?, serde_json::json!([0, 1, 0, 0, "undefined"]));
    assert_eq!(browser.complaints()?, [""; 0]);
    Ok(())
}
