# The innermost loops of `objdump -d --no-show-raw-insn`: for each a line "loop FUNCTION ADDRESS", then its instructions, one a line.
# A loop is what a backward jump jumps over; it is innermost if no other backward jump lies within. No loop is what another jump always
# leaves on the way: that is code of a branch, laid behind the rest.
function hex(text,  i, n) {
    n = 0
    for (i = 1; i <= length(text); i++)
        n = n * 16 + index("0123456789abcdef", substr(text, i, 1)) - 1
    return n
}
function close_function(  j, k, i, inner) {
    for (j = 1; j <= jumps; j++) {
        inner = 1
        for (k = 1; k <= jumps; k++)
            if (k != j && from[k] >= to[j] && from[k] < from[j] && to[k] >= to[j])
                inner = 0
        for (i = 1; i <= leaving; i++)
            if (leave[i] >= to[j] && leave[i] < from[j] && (target_of[i] < to[j] || target_of[i] > from[j]))
                inner = 0
        if (!inner)
            continue
        printf "loop %s %x\n", name, to[j]
        for (i = 1; i <= count; i++)
            if (address[i] >= to[j] && address[i] <= from[j])
                print text[i]
    }
    count = jumps = leaving = 0
}
/^[0-9a-f]+ <.*>:$/ { close_function(); name = $2; gsub(/[<>:]/, "", name); next }
/^ *[0-9a-f]+:\t/ {
    split($0, part, /:\t/)
    gsub(/ /, "", part[1])
    address[++count] = hex(part[1])
    text[count] = part[2]
    if (match(part[2], /^(j[a-z]+|b|b\.[a-z]+|cbn?z|tbn?z)[ \t].*[0-9a-f]+ </)) {
        target = part[2]
        sub(/ <.*/, "", target)
        sub(/.*[ \t,]/, "", target)
        if (part[2] ~ /^(jmp|b)[ \t]/) {
            leave[++leaving] = address[count]
            target_of[leaving] = hex(target)
        }
        if (hex(target) < address[count]) {
            from[++jumps] = address[count]
            to[jumps] = hex(target)
        }
    }
}
END { close_function() }
