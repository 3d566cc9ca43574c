// The page's own behavior: dividers, the epochs' scrubber, full screen, and the address bar. No framework, no network.
(() => {
    const host = element => element.closest('.stage') || element.parentElement;

    function divide(input) {
        host(input).style.setProperty('--at', `${input.value}%`);
    }

    function showEpoch(scrubber, index) {
        index = Math.max(0, Math.min(Number(scrubber.dataset.last), Number(index)));
        const name = scrubber.dataset.names.split('|')[index];
        scrubber.querySelectorAll('.frames img').forEach((image, i) => { image.hidden = i !== index; });
        scrubber.querySelectorAll('[data-index]').forEach(mark => mark.classList.toggle('now', Number(mark.dataset.index) === index));
        const input = scrubber.querySelector('input');
        input.value = index;
        input.setAttribute('aria-valuetext', name);
        scrubber.querySelector('.tag').textContent = name;
    }

    function setPlaying(button, on) {
        const scrubber = button.closest('.scrubber');
        button.setAttribute('aria-pressed', on);
        scrubber.querySelector('.tag').setAttribute('aria-live', on ? 'off' : 'polite');  // else one name a second
        clearInterval(button.timer);
        if (!on) return;
        button.timer = setInterval(() => {
            if (!button.isConnected) return clearInterval(button.timer);
            const now = Number(scrubber.querySelector('input').value);
            showEpoch(scrubber, now >= Number(scrubber.dataset.last) ? 0 : now + 1);
        }, 900);
    }

    document.addEventListener('input', event => {
        if (event.target.matches('.compare input')) divide(event.target);
        if (event.target.matches('.scrubber input')) showEpoch(event.target.closest('.scrubber'), event.target.value);
    });
    // A number that is deleted to type another is no choice: until there is one, the former applies.
    const emptied = event => event.target.matches?.('#studio input[type=number]') && event.target.value === '';
    document.addEventListener('input', event => { if (emptied(event)) event.stopPropagation(); }, true);
    document.addEventListener('focusout', event => {
        if (emptied(event)) event.target.value = event.target.closest('.block').querySelector('[type=range]').value;
    }, true);
    // Gradio gives every radio button a different name, and again with each change. As one group, arrow keys move within
    // it and Tab leaves it.
    const groupRadios = () => document.querySelectorAll('.block[id] input[type=radio]').forEach(radio => {
        const group = radio.closest('.block').id;
        if (radio.name !== group) radio.name = group;
    });
    for (const moment of ['focusin', 'keydown']) document.addEventListener(moment, groupRadios, true);
    // Nor has its group a name for a screen reader.
    const nameGroups = () => document.querySelectorAll('fieldset.block:not([aria-label])').forEach(group => {
        const words = group.querySelector('[data-testid=block-info]')?.textContent.trim();
        if (words) group.setAttribute('aria-label', words);
    });
    // A new picture may bring a new input, which continues from the divider's position.
    document.addEventListener('focusin', event => {
        if (event.target.matches('.compare input')) {
            const at = parseFloat(host(event.target).style.getPropertyValue('--at'));
            if (!Number.isNaN(at)) event.target.value = at;
        }
    });
    document.addEventListener('click', event => {
        const full = event.target.closest('.compare .full');
        if (full) (document.fullscreenElement ? document.exitFullscreen() : full.closest('.compare').requestFullscreen()).catch(() => {});
        const start = event.target.closest('.scrubber .play');
        if (start) setPlaying(start, start.getAttribute('aria-pressed') !== 'true');
        const mark = event.target.closest('.scrubber [data-index]');
        if (mark) showEpoch(mark.closest('.scrubber'), mark.dataset.index);
    });

    // iPhones have no full screen for part of a page, and some frames do not allow it.
    document.documentElement.classList.toggle('no-full', !document.fullscreenEnabled);

    // Gradio patches the page in place: new pictures in the same scrubber, whose input keeps its position.
    const holdsPictures = node => node.matches?.('img, .scrubber') || node.querySelector?.('img');
    new MutationObserver(changes => {
        nameGroups();
        const news = changes.filter(change => change.target.closest?.('#film') && (change.type === 'attributes' || [...change.addedNodes].some(holdsPictures)));
        const scrubber = news.length && document.querySelector('#film .scrubber');
        if (!scrubber) return;
        setPlaying(scrubber.querySelector('.play'), false);
        showEpoch(scrubber, scrubber.querySelector('input').getAttribute('value'));
    }).observe(document.documentElement, {subtree: true, childList: true, attributeFilter: ['src']});

    // A photo pasted or dropped anywhere becomes the photo: Gradio takes one only if none is shown, and a browser would
    // leave the page to show a file that was dropped next to the field.
    const putPhoto = file => {
        document.querySelector('#photo [aria-label="Remove Image"]')?.click();
        document.querySelector('#photo [aria-label="Upload file"]:not(.selected)')?.click();  // no longer the camera
        const hand = tries => {
            const input = document.querySelector('#photo input[type=file]');
            if (!input) return tries && setTimeout(hand, 50, tries - 1);
            input.files = listOf(file);
            input.dispatchEvent(new Event('change', {bubbles: true}));
        };
        hand(20);
    };
    // What Gradio would refuse must not remove the photo first. A file without a type may be a photo.
    const fits = file => (!file.type || file.type.startsWith('image/')) && file.size <= (window.gradio_config?.max_file_size ?? Infinity);
    const replacePhoto = file => fits(file) ? putPhoto(file) : document.querySelector('#unfit').click();
    const take = event => {
        const files = [...(event.clipboardData ?? event.dataTransfer).files];
        if (!files.length) return;
        event.preventDefault();
        event.stopPropagation();
        replacePhoto(files[0]);
    };
    document.addEventListener('paste', take, true);
    document.addEventListener('drop', take, true);
    document.addEventListener('dragover', event => event.preventDefault());

    // A photo is chosen with the button or by a click on the current photo, which stays until another arrives: Gradio's
    // own icon would remove it without opening the chooser.
    const chooser = Object.assign(document.createElement('input'), {type: 'file', accept: 'image/*'});
    chooser.addEventListener('change', () => {
        if (chooser.files.length) replacePhoto(chooser.files[0]);
        chooser.value = '';
    });
    const CHOOSES = '.choose, #photo .image-frame, #photo [aria-label="Upload file"]';
    document.addEventListener('click', event => {
        const on = selector => event.target.closest(selector);
        if (on(CHOOSES) && (event.isTrusted || !on('[aria-label="Upload file"]'))) {
            event.preventDefault();
            event.stopPropagation();
            chooser.click();
        } else if (event.isTrusted && on('#photo [aria-label="Remove Image"], #photo:has(.image-frame img) [aria-label="Capture from camera"]')) {
            document.querySelector('#cleared').click();  // removed, not replaced: remove what was made of it, too
            if (on('[aria-label="Remove Image"]')) document.querySelector('#choose').focus();  // the focus went with it
        }
    }, true);
    // A photo that the browser cannot show, such as TIFF, is shown as the network sees it. `data-file` keeps its URL.
    const BLANK = 'data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7';
    const putInstead = (image, src) => { image.src = image.dataset.instead = src; };
    document.addEventListener('error', event => {
        const image = event.target;
        if (!image.matches?.('#photo img') || image.src === image.dataset.instead) return;
        image.dataset.file = image.src;
        putInstead(image, BLANK);
    }, true);
    document.addEventListener('load', event => {
        const image = document.querySelector('#photo img');
        if (event.target.matches?.('#result .compare img:not(.over)') && image?.src === BLANK) putInstead(image, event.target.src);
    }, true);

    // Gradio puts the name of a file that is too large into a message, as HTML.
    const listOf = file => {
        const list = new DataTransfer();
        const name = file.name.replace(/['`]/g, '’').replace(/"/g, '”').replace(/&/g, '+').replace(/[<>]/g, '');
        list.items.add(new File([file], name, {type: file.type}));
        return list.files;
    };
    document.addEventListener('change', event => {
        if (event.target.matches('#photo input[type=file]') && event.target.files.length) event.target.files = listOf(event.target.files[0]);
    }, true);

    // Gradio's client takes answers from one stream, which ends when none is due, and opens another with the next event.
    // It opens none for an event that is acknowledged before that end is heard, and sent after the last answer: the
    // answer would wait for ever, and with it what was selected since. An event without effect makes it open one.
    const send = window.fetch, sent = new Set(), answered = new Set();
    const follow = async reader => {
        for (let text = '', part; !(part = await reader.read()).done; text = text.slice(-200)) {  // an answer comes in parts
            text += part.value;
            for (const [, event] of text.matchAll(/"process_completed","event_id":"([^"]+)"/g)) answered.add(event);
        }
    };
    const ended = () => {
        const lost = answered.size && [...sent].some(event => !answered.has(event));
        sent.clear();
        if (lost) document.querySelector('#nudge').click();
    };
    window.fetch = async (...request) => {
        const answer = await send(...request);
        if (answer.url.includes('/queue/join') && answer.ok) sent.add((await answer.clone().json()).event_id);
        if (answer.url.includes('/queue/data') && request[0].signal) {
            follow(answer.clone().body.pipeThrough(new TextDecoderStream()).getReader()).catch(() => {});  // aborted
            request[0].signal.addEventListener('abort', ended);
        }
        return answer;
    };

    // A tab that is opened, or is open when another photo arrives, shows that photo: its first button is pressed unless
    // it was pressed for the same photo and options. Measures also depend on the selected network, refined colorings on
    // the checkpoint.
    const made = {}, MAKES = '#fill, #refine, #scrub, #run-measure';
    const photo = () => {
        const image = document.querySelector('#photo img');
        return image && image.src === image.dataset.instead ? image.dataset.file : image?.src;
    };
    const chosen = (...names) => names.map(name => document.querySelector(`#${name} input:checked`)?.value ?? '').join();
    // Gradio adds the options to the page only once they are opened.
    const written = name => document.querySelector(`#${name} :is(input, textarea)`)?.value ?? '';
    const subject = button => [photo(), written('source'), written('saturation') || '1', chosen('chroma') || 'edge-aware'].join() + ({
        'run-measure': chosen('network'), refine: chosen('network', 'decoder', 'epoch'),
    }[button.id] ?? '');
    document.addEventListener('click', event => {
        const button = event.target.closest(MAKES);
        if (button) made[button.id] = subject(button);
        if (!event.target.closest('#cleared, #emptied')) return;
        for (const id in made) delete made[id];
        keepOwn(null);
    });
    window.showTab = () => setTimeout(() => {
        const button = [...document.querySelectorAll(MAKES)].find(each => each.offsetParent);
        if (button && photo() && made[button.id] !== subject(button)) button.click();
    }, 200);

    // A visitor's own photo is there again after a reload, which Gradio also does when a lost connection is back.
    const keepOwn = photo => history.replaceState({...history.state, photo}, '');
    window.ownPhoto = (photo, settled) => {
        const own = history.state?.photo;
        return own ? [own, [own.path, ...settled.slice(1)]] : [photo, settled];
    };

    // Nothing private goes into the address: only the tab, the choices, and which of the examples.
    // Not before the view that the address names is restored: a tab also reports itself when it is created.
    let restored = false, missed = false;
    window.viewRestored = (names, values) => {
        restored = true;
        const named = new URL(location.href).searchParams;
        if (history.state?.photo || ['example', ...names].some(name => named.has(name))) document.querySelector('#settle').click();
        if (missed) remember(names, values);  // a choice was clicked in the meantime
        showTab();
    };
    const nameOf = file => file.replace(/[.].*/, '');
    // An example is there at once, an upload only when it has arrived: one that was picked in the meantime stays.
    let picked = null;
    window.pickExample = file => {
        remember(['example'], [nameOf(file.orig_name)]);
        keepOwn(null);
        return picked = {...file, url: window.gradio_config.root + file.url};
    };
    window.takeUpload = photo => {
        if (picked) return picked;
        remember(['example'], [null]);
        keepOwn(photo);
        return photo;
    };
    for (const begun of ['change', 'click']) {  // a file, or the webcam's button
        document.addEventListener(begun, event => { if (event.target.closest?.('#photo')) picked = null; }, true);
    }
    // Gradio's examples are buttons with a picture and no text, and there at no time that an event tells: each gets the
    // label that a screen reader needs when its picture has loaded.
    document.addEventListener('load', event => {
        const name = event.target.matches?.('#examples button img') && nameOf(event.target.src.split('/').pop());
        if (name) event.target.closest('button').setAttribute('aria-label', `Example photo: ${name}`);
    }, true);
    window.rememberTab = name => { if (restored) remember(['tab'], [name]); };
    window.rememberChoices = (names, values) => { if (restored) remember(names, values); else missed = true; };
    window.remember = (names, values) => {
        const address = new URL(location.href);
        names.forEach((name, i) => {
            (values[i] ?? '') === '' ? address.searchParams.delete(name) : address.searchParams.set(name, values[i]);
        });
        history.replaceState(history.state, '', address);
    };
})();
